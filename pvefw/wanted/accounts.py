"""ACME accounts: registered where they do not exist, and never deactivated."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from pvefw.certs import accounts, bindings, directories
from pvefw.core import references
from pvefw.core.errors import ConfigError, UsageError
from pvefw.store import accounts as store
from pvefw.store.section_config import check_id
from pvefw.wanted.kind import Change, Context, Fields, Kind, present
from pvefw.wanted.shapes import Flag, List, Record, Table, Text

_AT_FIRST = frozenset({"accept-tos", "key-type", "eab-kid", "eab-hmac-key"})


def _reference(text: str) -> None:
    if not references.is_reference(text):
        raise ValueError("this is a secret: give a reference to it, such as file:PATH")


def _address(text: str) -> str:
    return accounts.mailto(text).removeprefix("mailto:")


class Accounts(Kind):
    """ACME accounts."""

    key = "accounts"
    prunable = False
    shape = Table(
        "ACME accounts. One that does not exist is registered; none is deactivated.",
        Record(
            "An account.",
            {
                "directory": Text(
                    "The authority's directory: its URL, or a short name such as letsencrypt.",
                    normal=directories.url_of,
                ),
                "contact": List("E-mail addresses.", Text("An e-mail address.", normal=_address)),
                "ca-file": Text("Certificates to trust for a private authority (PEM)."),
                "accept-tos": Flag("The authority's terms of service are agreed to."),
                "key-type": Text(
                    "The type of the key, for its registration.",
                    choices=("ec256", "ec384", "rsa2048", "rsa4096"),
                ),
                "eab-kid": Text("Key id of the external account binding, for its registration."),
                "eab-hmac-key": Text(
                    "Key of the external account binding, as a reference: `file:PATH`.",
                    check=_reference,
                ),
            },
        ),
        partial(check_id, what="an account name"),
    )

    def current(self, context: Context) -> dict[str, Fields]:
        fields_of: dict[str, Fields] = {}
        for name in store.names(context.paths):
            try:
                account = store.load(context.paths, name)
            except ConfigError as error:
                context.left_out.append(error.message)
                continue
            fields_of[name] = present(
                directory=account.directory,
                contact=[_address(contact) for contact in account.account.get("contact") or ()],
                ca_file=account.ca_file,
                accept_tos=bool(account.tos),
            )
        return fields_of

    def ignored(self, old: Fields) -> frozenset[str]:
        # not every authority keeps the addresses, and says so by leaving them out
        return _AT_FIRST if "contact" in old else _AT_FIRST | {"contact"}

    def put(self, context: Context, change: Change) -> None:
        name, old, new = change.name, change.old, change.new
        if change.before is None:
            _register(context, name, new)
            return
        if new.get("directory") != old["directory"]:
            raise UsageError(
                f"it is an account at {old['directory']}, and cannot move to {new['directory']}",
                hint="Add another account, under another name.",
            )
        if context.rehearsing:
            return
        if new.get("ca-file", "") != old.get("ca-file", ""):
            with store.lock(context.paths, name):
                account = store.load(context.paths, name)
                store.save(context.paths, replace(account, ca_file=new.get("ca-file", "")))
        if new.get("contact") != old.get("contact"):
            accounts.update(context.paths, name, new.get("contact", []), context.task)


def _register(context: Context, name: str, new: Fields) -> None:
    if "directory" not in new:
        raise ConfigError("it does not exist yet, and directory is missing to register it")
    if bool(new.get("eab-kid")) != bool(new.get("eab-hmac-key")):
        raise ConfigError("eab-kid and eab-hmac-key belong together")
    if context.rehearsing:
        return
    ca_file = Path(new["ca-file"]) if new.get("ca-file") else None
    offer = accounts.look_at(new["directory"], ca_file)
    if offer.terms and not new.get("accept-tos"):
        raise UsageError(
            f"the terms of service are not agreed to: {offer.terms}",
            hint="Read them, then write: accept-tos: true",
        )
    accounts.register(
        context.paths,
        name,
        new.get("contact", []),
        offer,
        key_type=new.get("key-type", ""),
        binding=_binding(new),
        task=context.task,
    )


def _binding(new: Fields) -> tuple[str, str] | None:
    key = new.get("eab-hmac-key")
    if not key:
        return None
    return bindings.read(references.resolve(key, "eab-hmac-key"), new["eab-kid"], "eab-hmac-key")

"""``pvefw acme account``: accounts at ACME authorities."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pvefw.cli import candidates, habits
from pvefw.cli.framework import App, Group, ListOption, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import ConfigError, UsageError

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
account = Group("account", help="Accounts at ACME authorities.")

ENDPOINTS = (
    ("Let's Encrypt V2", "https://acme-v02.api.letsencrypt.org/directory"),
    ("Let's Encrypt V2 Staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
)
_ATTEMPTS = 3
_name = click.argument("name", default="default", shell_complete=candidates.accounts)
_directory = click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True)
_ca_file = click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="Certificates to trust for a private authority (PEM).",
)


def _key_type(default: str) -> Callable[[_Decorated], _Decorated]:
    return click.option(
        "--key-type",
        type=click.Choice(["ec256", "ec384", "rsa2048", "rsa4096"]),
        help=f"The new key's type (default: {default}).",
    )


@account.command()
@click.argument("name_and_contact", metavar="[NAME] CONTACT", nargs=-1, required=True)
@click.option(
    "--directory",
    metavar="URL|NAME",
    help="The authority's directory, or a short name such as letsencrypt, zerossl or google; "
    "without it, you are asked.",
    shell_complete=candidates.directories,
)
@click.option("--accept-tos", is_flag=True, help="Agree to the authority's terms of service.")
@click.option("--eab-kid", metavar="KID", help="Key id of the external account binding.")
@click.option(
    "--eab-hmac-key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the external account binding's key (base64url), or the output of gcloud.",
)
@_key_type("ec256, and rsa4096 where Proxmox VE is installed, whose client needs RSA")
@_ca_file
@pass_app
def register(
    app: App,
    name_and_contact: tuple[str, ...],
    directory: str | None,
    accept_tos: bool,
    eab_kid: str | None,
    eab_hmac_key_file: Path | None,
    key_type: str | None,
    ca_file: Path | None,
) -> None:
    """Register the account NAME (default: default) with the e-mail address CONTACT.

    Asks for what is not given: the directory, the terms of service, an external account binding.
    """
    from pvefw.certs import accounts, directories

    if len(name_and_contact) > 2:  # noqa: PLR2004 - the two in the metavar
        raise UsageError(
            "acme account register: it takes only a name and a contact",
            hint=habits.SUPERFLUOUS["acme account register"],
        )
    *names, contact = name_and_contact
    name = names[0] if names else "default"
    contacts = _contacts(name, contact)
    accounts.check_new(app.paths, name)
    directory = directories.url_of(_ask_directory() if directory is None else directory)
    custom = directory not in {url for _, url in ENDPOINTS}
    binding = _given_binding(eab_kid, eab_hmac_key_file)
    offer = accounts.look_at(directory, ca_file)
    if offer.terms and not accept_tos:
        _ask_terms(offer.terms)
    if binding is None and (custom or offer.binding_required) and _interactive():
        binding = _ask_binding(required=offer.binding_required)
    if offer.binding_required and binding is None:
        why = f"{directory} requires an external account binding"
        raise UsageError(f"acme account register: {why}", hint=directories.binding_hint(directory))
    run_task(
        app,
        "acmeregister",
        lambda task: accounts.register(
            app.paths, name, contacts, offer, key_type=key_type or "", binding=binding, task=task
        ),
    )


def _contacts(name: str, contact: str) -> list[str]:
    """The addresses, checked before anybody is asked anything.

    :raises UsageError: one is no address.
    """
    try:
        return _addresses(contact)
    except UsageError as error:
        if "@" in name:
            error.hint = f"The name comes first: pvefw acme account register {contact} {name}"
        raise


def _addresses(contact: str) -> list[str]:
    from pvefw.certs import accounts
    from pvefw.store.section_config import split

    return [accounts.mailto(part) for part in split(contact) or [contact]]


def _interactive() -> bool:
    return sys.stdin.isatty() or click.get_current_context().ensure_object(App).piped_answers


def _ask(question: str, *, hidden: bool = False) -> str:
    """One answer, perhaps empty. click itself would ask a pipe from yes(1) for ever."""
    return str(
        click.prompt(
            question,
            default="",
            show_default=False,
            prompt_suffix=": ",
            hide_input=hidden and sys.stdin.isatty(),
        )
    ).strip()


def _ask_often(question: str, acceptable: Callable[[str], bool], otherwise: str) -> str:
    """The first answer that is acceptable, of a few.

    :raises UsageError: none was.
    """
    for _ in range(_ATTEMPTS):
        answer = _ask(question)
        if acceptable(answer):
            return answer
        say(f"'{answer}' {otherwise}" if answer else f"The answer is empty; it {otherwise}")
    raise UsageError(
        f"acme account register: {question}: no usable answer in {_ATTEMPTS} attempts",
        hint="Nothing was registered. Without questions: --directory URL --accept-tos",
    )


def _ask_directory() -> str:
    """The URL of a directory."""
    if not _interactive():
        raise UsageError(
            "acme account register: no directory was given and there is no terminal to ask",
            hint=f"Give --directory, for instance {ENDPOINTS[0][1]}",
        )
    say("Directory endpoints:")
    for number, (title, url) in enumerate(ENDPOINTS):
        say(f"{number}) {title} ({url})")
    say(f"{len(ENDPOINTS)}) Custom")
    numbers = [str(number) for number in range(len(ENDPOINTS) + 1)]
    wrong = f"is not a number from 0 to {numbers[-1]}."
    choice = int(_ask_often("Enter selection", numbers.__contains__, wrong))
    if choice < len(ENDPOINTS):
        return ENDPOINTS[choice][1]
    return _ask_often("Enter custom URL", bool, "is not a URL.")


def _ask_terms(url: str) -> None:
    say(f"Terms of Service: {url}")
    if not _interactive():
        raise UsageError(
            "acme account register: the terms of service were not agreed to",
            hint="Read them, then add --accept-tos.",
        )
    if not _is_yes(_ask("Do you agree to the above terms? [y|N]")):
        raise UsageError(
            "acme account register: the terms of service were not agreed to",
            hint="Nothing was registered. To agree, answer y or add --accept-tos.",
        )


def _is_yes(answer: str) -> bool:
    return answer.lower() in ("y", "yes")


def _given_binding(kid: str | None, key_file: Path | None) -> tuple[str, str] | None:
    """Key id and key of the external account binding, from the options."""
    if not kid and not key_file:
        return None
    if not key_file:
        raise UsageError(
            "acme account register: --eab-kid and --eab-hmac-key-file belong together",
            hint="Give both, with what the authority gave you.",
        )
    from pvefw.certs import bindings
    from pvefw.store import files

    try:
        return bindings.read(files.read_given(key_file).decode("utf-8-sig"), kid, str(key_file))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{key_file}: this is not the key of an external account binding: it is base64url",
            hint="Put the key into the file as the authority gave it to you.",
        ) from error


def _ask_binding(*, required: bool) -> tuple[str, str] | None:
    """Key id and key of the external account binding, from the terminal."""
    try:
        wanted = _is_yes(_ask("Do you want to use external account binding? [y|N]"))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        return None  # a pipe that has no more answers
    if not wanted:
        return None
    kid = _ask("Enter EAB key id")
    if _is_yes(kid) and not required and not sys.stdin.isatty():
        return None  # yes(1) agrees to everything
    return kid, _ask("Enter EAB key", hidden=True)


@account.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List the accounts."""
    from pvefw.store import accounts

    show_rows(app, [{"name": name} for name in accounts.names(app.paths)], ["name"])


@account.command()
@_name
@output_option
@pass_app
def info(app: App, name: str) -> None:
    """Show an account as the authority described it last."""
    from pvefw.store import accounts

    registered = accounts.load(app.paths, name)
    show_value(
        app,
        {
            "account": registered.account,
            "directory": registered.directory,
            "location": registered.location,
            "tos": registered.tos,
        },
    )


@account.command()
@_name
@click.option("--contact", cls=ListOption, metavar="ADDRESS,…", help="New e-mail addresses.")
@pass_app
def update(app: App, name: str, contact: str | None) -> None:
    """Change the contact, or fetch the account's data again."""
    from pvefw.certs import accounts

    contacts = _addresses(contact) if contact else None
    run_task(app, "acmeupdate", lambda task: accounts.update(app.paths, name, contacts, task))


@account.command()
@_name
@pass_app
def deactivate(app: App, name: str) -> None:
    """Deactivate an account for good and rename its file."""
    from pvefw.certs import accounts

    run_task(app, "acmedeactivate", lambda task: accounts.deactivate(app.paths, name, task))


@account.command()
@_name
@_key_type("that of the old key")
@pass_app
def rollover(app: App, name: str, key_type: str | None) -> None:
    """Replace the account's key with a new one."""
    from pvefw.certs import accounts

    run_task(
        app, "acmerollover", lambda task: accounts.roll_over(app.paths, name, key_type or "", task)
    )


@account.command("import")
@_name
@click.option("--from", "source", type=_directory, help="The directory of the other client.")
@click.option("--account", "wanted", metavar="URL", help="Which account, if there are several.")
@click.option(
    "--directory", metavar="URL|NAME", help="The authority, if the other client does not record it."
)
@_ca_file
@pass_app
def import_(
    app: App,
    name: str,
    source: Path | None,
    wanted: str | None,
    directory: str | None,
    ca_file: Path | None,
) -> None:
    """Take over an account of certbot, acme.sh or lego as NAME (default: default).

    Its key is copied once the authority has confirmed that it knows it. The other client is left alone.
    """
    from pvefw.certs import directories, importing

    theirs = importing.find_account(app.paths, source, wanted)
    url = directories.url_of(directory) if directory else ""
    run_task(
        app,
        "acmeimport",
        lambda task: importing.take_account(app.paths, name, theirs, url, ca_file, task),
    )

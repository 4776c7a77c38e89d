"""``pvefw api user``, ``token`` and ``totp``: who may use the API over HTTPS, and how they log in."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pvefw.cli.changing import changing, remark, removing
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.streams import say

if TYPE_CHECKING:
    from pvefw_api_server.users import Grants

user = Group("user", help="Users of the API over HTTPS, and what each may do.")
token = Group("token", help="API tokens, with which programs log in.")
totp = Group(
    "totp", help="A second factor for logging in: codes of an app, in addition to the password."
)

_name = click.argument("name", metavar="USER@REALM")
_id = click.argument("id_", metavar="TOKEN")
_grant = click.option(
    "--grant",
    multiple=True,
    metavar="PATH=PRIVILEGE,…",
    help="What it may do: /=Sys.Audit, /vms/100=VM.PowerMgmt (may be repeated).",
)


@user.command("list")
@output_option
@pass_app
def list_(app: App) -> None:
    """List users and their tokens. root@pam may do everything."""
    from pvefw.cli.output import show_rows
    from pvefw_api_server import users

    rows = []
    for account in users.load(app.paths).values():
        own = "everything" if account.name == users.ROOT else _words(account.grants)
        limits = {id_: token_.grants for id_, token_ in account.tokens.items()}
        words = {"": own, **{key: own if of is None else _words(of) for key, of in limits.items()}}
        user_ = {"user": account.name, "enabled": account.enabled, "totp": account.totp is not None}
        rows += [{**user_, "token": key, "grants": grant} for key, grant in words.items()]
    show_rows(app, rows, ["user", "token", "enabled", "totp", "grants"])


def _words(grants: "Grants") -> str:
    return " ".join(f"{path}={','.join(rights)}" for path, rights in grants.items())


@user.command("set")
@_name
@_grant
@click.option("--enable/--disable", "enabled", default=None, help="Whether it may log in at all.")
@pass_app
@changing
def set_(app: App, name: str, grant: tuple[str, ...], enabled: bool | None) -> None:
    """Add a user, or change one. NAME@pam has the password of this host, NAME@pve only tokens."""
    from pvefw_api_server import users

    grants = users.grants(grant)
    with users.changing(app.paths) as accounts:
        before = accounts.get(users.check_name(name), users.User(name))
        accounts[name] = replace(
            before,
            grants=grants if grant else before.grants,
            enabled=before.enabled if enabled is None else enabled,
        )


@user.command()
@_name
@pass_app
def remove(app: App, name: str) -> None:
    """Remove a user with all of its tokens; its tickets end, too."""
    from pvefw_api_server import users

    with users.changing(app.paths) as accounts, removing():
        del accounts[users.named(accounts, name).name]


@token.command()
@_name
@_id
@_grant
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="When it expires (UTC).",
)
@click.option("--or-set", is_flag=True, help="Change one that exists; its secret stays as it is.")
@pass_app
@changing
def add(
    app: App, /, name: str, id_: str, grant: tuple[str, ...], expires: datetime | None, or_set: bool
) -> dict[str, object] | None:
    """Give a user a token, and print it, once. Without --grant it may do all that its user may."""
    from pvefw.store import rehearsal
    from pvefw_api_server import users

    limits = users.grants(grant) if grant else None
    end = int(expires.replace(tzinfo=UTC).timestamp()) if expires else 0
    with users.changing(app.paths) as accounts:
        user = users.named(accounts, name)
        if or_set and id_ in user.tokens:
            accounts[name] = users.with_limits(user, id_, limits, end)
            return None
        accounts[name], secret = users.new_token(user, id_, limits, end)
    remark(app, f"{name}!{id_}={secret}")
    say(
        "Programs send it as a header: Authorization: PVEAPIToken=USER@REALM!TOKEN=SECRET", err=True
    )
    return None if rehearsal.is_dry() else {"token": f"{name}!{id_}={secret}"}


@token.command("remove")
@_name
@_id
@pass_app
def remove_token(app: App, name: str, id_: str) -> None:
    """Remove a token: it is refused from now on."""
    from pvefw.core.errors import NotFound
    from pvefw_api_server import users

    with users.changing(app.paths) as accounts:
        of = users.named(accounts, name)
        if id_ not in of.tokens:
            raise NotFound(f"{name} has no token {id_}", hint="See: pvefw api user list")
        left = {key: token_ for key, token_ in of.tokens.items() if key != id_}
        accounts[name] = replace(of, tokens=left)


@totp.command("add")
@_name
@pass_app
@changing
def add_totp(app: App, /, name: str) -> dict[str, object] | None:
    """Give a user a second factor, and print what its app reads, once: make a QR code of it.

    From then on, a password alone is not enough. Tokens are not concerned.
    """
    from pvefw.core.errors import UsageError
    from pvefw.store import rehearsal
    from pvefw_api_server import totp, users

    with users.changing(app.paths) as accounts:
        of = users.named(accounts, name)
        if not name.endswith(users.PAM):
            raise UsageError(f"{name} has tokens only", hint="NAME@pam logs in with a password.")
        if of.totp is not None:
            raise UsageError(
                f"{name} has a second factor already",
                hint=f"Remove it first: pvefw api totp remove {name}",
            )
        made = totp.new()
        accounts[name] = replace(of, totp=made)
    uri = totp.uri(made, name, f"pvefw {app.paths.node}")
    remark(app, uri)
    return None if rehearsal.is_dry() else {"uri": uri}


@totp.command("remove")
@_name
@pass_app
def remove_totp(app: App, name: str) -> None:
    """Remove a user's second factor: from then on, the password is enough."""
    from pvefw.core.errors import NotFound
    from pvefw_api_server import users

    with users.changing(app.paths) as accounts:
        of = users.named(accounts, name)
        if of.totp is None:
            raise NotFound(f"{name} has no second factor", hint="See: pvefw api user list")
        accounts[name] = replace(of, totp=None)

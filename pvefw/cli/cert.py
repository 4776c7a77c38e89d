"""``pvefw cert``: the node's certificates."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates, cert_import, cert_sections, exit_codes
from pvefw.cli.cert_sections import CertificateCommand
from pvefw.cli.changing import changing, removing
from pvefw.cli.framework import App, Group, ListOption, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import UsageError

if TYPE_CHECKING:
    from pvefw.certs.certificate import Certificate
    from pvefw.core.model import Task

cert = Group("cert", help="The node's certificates.")
ca = Group("ca", help="The cluster's certificate authority.")
node = Group("node", help="The node's own certificate, signed by the cluster's CA.")
cert.add_command(ca)
cert.add_command(node)
for _command in (cert_sections.add, cert_sections.list_, cert_sections.remove, cert_import.import_):
    cert.add_command(_command)

_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_name = click.argument(
    "name", metavar="[NAME]", default="pveproxy", shell_complete=candidates.certificates
)
_CERTIFICATE, _KEY = b"-----BEGIN CERTIFICATE-----", b" PRIVATE KEY-----"
_restart = click.option("--restart", is_flag=True, help="Make the service use the change now.")


def _load(app: App, name: str) -> "Certificate":
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    return Certificate.load(Node.open(app.paths), name)


def _now() -> datetime:
    from pvefw.host.clock import SystemClock

    return SystemClock().now()


@cert.command()
@output_option
@pass_app
def info(app: App) -> None:
    """Show every certificate of this node."""
    from pvefw.certs import certificate
    from pvefw.store.node import Node

    rows = [info_.as_dict() for info_ in certificate.info_of_all(Node.open(app.paths))]
    if app.output_format != "text":
        show_rows(app, rows, [])
        return
    for row in rows:
        show_certificate(app, row)
    if not rows:
        say(f"Node {app.paths.node} has no certificates.", err=True)


@cert.command("set", cls=CertificateCommand)
@click.argument("certificate", metavar="CERTIFICATE|NAME", type=click.Path(path_type=Path))
@click.argument("key", type=_file, required=False)
@click.option("--force", is_flag=True, help="Replace an existing certificate.")
@click.option("--password-file", type=_file, help="File with the password of a PKCS#12 container.")
@click.option(
    "--certificate",
    "name",
    metavar="NAME",
    default="pveproxy",
    shell_complete=candidates.certificates,
    help="Install it as the certificate NAME (default: that of Proxmox VE's services).",
)
@cert_sections.common_options
@click.option(
    "--delete",
    cls=ListOption,
    metavar="KEY,…",
    help="Properties of the certificate NAME to delete.",
)
@_restart
@pass_app
@changing
def set_(
    app: App,
    /,
    certificate: Path,
    key: Path | None,
    force: bool,
    password_file: Path | None,
    name: str,
    restart: bool,
    **values: Any,
) -> dict[str, object] | None:
    """Install CERTIFICATE (its chain included) and its KEY for the node's services, both PEM files.

    Without KEY, the key that already exists is kept. A PKCS#12 container (.p12, .pfx) has both.

    With a property instead, change the configuration of the certificate NAME.
    """
    delete = values.pop("delete")
    given = cert_sections.properties(values)
    if given or delete:
        cert_sections.change(app, str(certificate), given, delete)
        return None
    from pvefw.certs import custom
    from pvefw.cli.boot_context import Silent
    from pvefw.store import rehearsal

    if certificate.is_dir() or not certificate.exists():  # a pipe is one, too: <(pass show key)
        raise UsageError(
            f"cert set: {certificate} is not a file, and no property is given",
            hint="Bring a certificate: pvefw cert set CERTIFICATE KEY. "
            "Or change a property: pvefw cert set NAME --PROPERTY VALUE",
        )
    chain, private = _read_pair(certificate, key, password_file)
    target, changed = _load(app, name), False

    def work(task: "Task") -> None:
        nonlocal changed
        changed = custom.set_pair(
            target, chain, private, task, _now(), force=force, restart=restart
        )

    if rehearsal.is_dry():
        work(Silent())
    else:
        quiet = app.output_format != "text"
        run_task(app, "certset", work, target.task_id, quiet=quiet, refusable=True)
    return {"changed": changed}


def _read_pair(
    certificate: Path, key: Path | None, password_file: Path | None
) -> tuple[bytes, bytes | None]:
    """Certificate and key; those of a PKCS#12 container, whose password is asked for."""
    from pvefw.certs import formats
    from pvefw.store import files

    data = files.read_given(certificate)
    if key is not None or not formats.is_pkcs12(data):
        private = files.read_given(key) if key else None
        if private and _KEY in data and _CERTIFICATE not in data and _CERTIFICATE in private:
            raise UsageError(
                f"cert set: {certificate} is a private key, and {key} a certificate",
                hint=f"In this order: pvefw cert set {key} {certificate}",
            )
        return data, private
    if password_file:
        password = files.read_given(password_file).rstrip(b"\r\n")
    elif sys.stdin.isatty():
        answer = click.prompt("Password of the PKCS#12 container", hide_input=True, default="")
        password = str(answer).encode()
    else:
        password = b""
    return formats.from_pkcs12(data, password, str(certificate))


@cert.command()
@_name
@_restart
@pass_app
def delete(app: App, name: str, restart: bool) -> None:
    """Remove a certificate and its key; Proxmox VE's services then use the node's own."""
    from pvefw.certs import custom

    with removing():
        target = _load(app, name)
    run_task(
        app,
        "certdelete",
        lambda task: custom.delete_pair(target, task, _now(), restart=restart),
        target.task_id,
    )


@cert.command()
@_name
@click.option("--retry", is_flag=True, help="Only targets that have not received it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--test",
    "only",
    metavar="TARGET",
    shell_complete=candidates.instances("observer"),
    help="Deliver it to this target alone; `reload-command` is one, too.",
)
@exit_codes.detailed_option
@pass_app
def deploy(
    app: App, name: str, retry: bool, dry_run: bool, only: str | None, detailed: bool
) -> int:
    """Make the service and the observers use the installed certificate."""
    from pvefw.certs import deploy as deploying

    target = _load(app, name)
    late = deploying.waiting(target)
    if dry_run:
        for line in deploying.plan(target, retry=retry):
            say(line)
        code = exit_codes.PENDING if late else exit_codes.NOTHING
        return exit_codes.status(code, detailed=detailed)
    failed: list[str] = []

    def work(task: "Task") -> None:
        if only is not None:
            deploying.deploy_one(target, only, task)
        else:
            failed.extend(deploying.deploy(target, task, again=not retry))

    if retry and not late and only is None:
        others = " ".join(
            f"To deliver another: {command}." for command in deploying.retries(target.node)
        )
        say(
            f"Nothing is left to deliver of the certificate {target.name}. {others}".rstrip(),
            err=True,
        )
    run_task(app, "certdeploy", work, target.task_id, refusable=only is not None)
    code = exit_codes.NOTHING if retry and not late and only is None else exit_codes.DONE
    return exit_codes.status(exit_codes.FAILED if failed else code, detailed=detailed)


@cert.command()
@_name
@output_option
@pass_app
def check(app: App, name: str) -> int:
    """Connect to where a certificate is served, and compare.

    The addresses are its property `serves`. The exit status is 1 where another one is served.
    """
    from pvefw.certs import served

    target = _load(app, name)
    looks = served.look(target)
    served.keep(target, looks)
    if not looks:
        raise UsageError(
            f"cert check: {target.settings.what} does not say where its certificate is served",
            hint=f"Set it: {target.settings.set_command} --serves HOST:PORT",
        )
    rows = [
        {"address": look.address, "ok": not look.reason, "reason": look.reason} for look in looks
    ]
    show_rows(app, rows, ["address", "ok", "reason"])
    return 0 if all(not look.reason for look in looks) else 1


@cert.command()
@pass_app
def recover(app: App) -> None:
    """Finish or roll back an interrupted installation."""
    from pvefw.certs import install

    install.recover(app.paths)


@ca.command()
@pass_app
def init(app: App) -> None:
    """Make the cluster's CA. An existing one is never overwritten."""
    from pvefw.certs import authority

    run_task(app, "certca", lambda task: authority.create(app.paths, task, _now()))


@ca.command()
@click.option("--finish", is_flag=True, help="Stop trusting the replaced CA.")
@pass_app
def rollover(app: App, finish: bool) -> None:
    """Replace the cluster's CA; the old CA stays trusted until it expires or you run --finish."""
    from pvefw.certs import authority, node_certificate

    if finish:
        run_task(app, "certca", lambda task: authority.finish_roll_over(app.paths, task))
        return

    def work(task: Any) -> None:
        authority.roll_over(app.paths, task, _now())
        node_certificate.refresh(app.paths, task, _now())

    run_task(app, "certca", work)


@node.command()
@click.option("--force", is_flag=True, help="Renew even if it is not due.")
@pass_app
def refresh(app: App, force: bool) -> None:
    """Renew the node's own certificate if its names, addresses, CA or age require it."""
    from pvefw.certs import node_certificate

    run_task(
        app, "certnode", lambda task: node_certificate.refresh(app.paths, task, _now(), force=force)
    )


def show_certificate(app: App, fields: Mapping[str, Any]) -> None:
    """Print what :meth:`CertificateInfo.as_dict` has of a certificate; as text, without its PEM."""
    if app.output_format == "text" and app.printing.human_readable:
        fields = {key: _readable(key, value) for key, value in fields.items()}
    if app.output_format == "text":
        fields = {key: value for key, value in fields.items() if key != "pem"}
    show_value(app, fields)


def _readable(key: str, value: Any) -> Any:
    if key.startswith("not"):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return value

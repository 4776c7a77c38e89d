"""Writes a certificate and its key on another host, by OpenSSH's own client."""

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.api import (
    CertificateEvent,
    CredentialsRejected,
    ProviderError,
    Task,
    Unavailable,
    hookimpl,
    run,
    setting,
)
from pvefw_observer_targets import shell
from pvefw_observer_targets.forms import Forms, Wanted

__all__ = ["Ssh"]

_SECONDS = 240.0
_CONNECT_SECONDS = 30
_FAILED = 255
"""What ssh(1) ends with where it failed itself."""
_COMMAND_FAILED = 82
_FUNCTIONS = r"""
names() { d=${1%/*}; new=$d/.${1##*/}.pvefw-new; old=$d/.${1##*/}.pvefw-old; }
stage() {
    names "$1"
    (umask 022 && mkdir -p -- "$d/") && rm -f -- "$new" && read -r line &&
    (umask "$2"; set -C; printf %s "$line" | base64 -d > "$new") && test -s "$new" &&
    test ! -d "$1" && { test -z "$3" || chown -h -- "$3" "$new"; }
}
keep() {
    names "$1"
    rm -f -- "$old" && { test ! -e "$1" || ln -- "$1" "$old" 2> /dev/null || copy "$1" "$old"; }
}
copy() { test ! -h "$1" && (set -C; cat < "$1" > "$2"); }
place() { names "$1"; mv -f -- "$new" "$1"; }
back() {
    names "$1"
    if test -e "$new"; then rm -f -- "$new" "$old"
    elif test -e "$old"; then mv -f -- "$old" "$1"
    else rm -f -- "$1"
    fi
}
all() { step=$1; shift; for path; do "$step" "$path" || return; done; }
forget() { names "$1"; rm -f -- "$old"; }
umask 077
"""
"""For any sh. Each file is complete, with its mode and owner, before the first one takes its place.

Whoever owns the directory can put a link where a file is about to be made. So files are made with
``set -C``, which follows none, have their mode from their first byte, and are kept by a hard link; a file
system without those, as pmxcfs and FAT, gives files their modes itself.
"""


@dataclass(kw_only=True)
class Ssh(Forms):
    """Writes files on another host through ssh, all or none, and runs a command there.

    The other host's key must be known before: nothing is sent to a host that is not.
    """

    host: str = setting(help="The other host: a name or an address.")
    user: str = setting(help="The user to log in as.", default="root")
    port: int | None = setting(help="The port (default: ssh's own).", default=None)
    identity: Path | None = setting(
        help="The private key to log in with; ssh refuses one that others can read.", default=None
    )
    known_hosts: Path | None = setting(
        help="The file with the other host's key (default: those of ssh).", default=None
    )
    command: str | None = setting(help="A command line to run there afterwards.", default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("host", "user"):
            value = getattr(self, name)
            if value.startswith("-") or not value.isprintable() or " " in value:
                raise ValueError(f"{name} '{value}' is not a {name}")
        if self.command:
            shell.check("command", self.command)

    @hookimpl
    def certificate_plan(self, event: CertificateEvent) -> Sequence[str]:
        """What would be written there, and run; the other host is not asked."""
        files = [f"write {self.host}:{path}" for path in self.wanted(event)]
        return [*files, f"run on {self.host}: {self.command}"] if self.command else files

    @hookimpl
    def on_certificate(self, event: CertificateEvent, task: Task) -> None:
        """Write the files there, and run the command."""
        wanted = self.wanted(event)
        data = "".join(f"{base64.b64encode(file.data).decode()}\n" for file in wanted)
        argv = [*self._ssh(), f"exec sh -c {shlex.quote(_script(wanted, self.command))}"]
        done = run(
            argv, input=data, timeout=_SECONDS, check=False
        )  # what is secret is in its input only
        if done.returncode == _FAILED:
            raise self._refused(done.stderr, done.last_words)
        if done.returncode != 0:
            failed = done.returncode == _COMMAND_FAILED
            what = (
                f"'{self.command}' failed, the old files are back"
                if failed
                else "nothing is written"
            )
            raise ProviderError(f"{self.host}: {what}: {done.last_words}")
        for file in wanted:
            task.log(f"Wrote {self.host}:{file.path}")
        if self.command:
            task.log(f"Ran on {self.host}: {self.command}")

    def _ssh(self) -> list[str]:
        options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"ConnectTimeout={_CONNECT_SECONDS}",
        ]
        if self.known_hosts:
            options += [f"UserKnownHostsFile={self.known_hosts}", "GlobalKnownHostsFile=none"]
        if self.identity:
            options += [f"IdentityFile={self.identity}", "IdentitiesOnly=yes"]
        port = ["-p", str(self.port)] if self.port else []
        given = [word for option in options for word in ("-o", option)]
        return ["ssh", "-T", *given, *port, "-l", self.user, "--", self.host]

    def _refused(self, output: str, last_words: str) -> ProviderError:
        if "Host key verification failed" in output:
            file = self.known_hosts or "/etc/ssh/ssh_known_hosts"
            port = f"-p {self.port} " if self.port else ""
            return ProviderError(
                f"{self.host}: its host key is not the one that is known: {last_words}",
                hint=f"Ask for it (ssh-keyscan {port}{self.host}), compare it with the host's own "
                f"(there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), and add it to {file}",
            )
        if "Permission denied" in output:
            return CredentialsRejected(f"{self.host}: {last_words}")
        return Unavailable(f"{self.host}: {last_words}")


def _script(files: Sequence[Wanted], command: str | None) -> str:
    """Stages all files, places them and runs the command; where one of that fails, all is as it was."""
    every = " ".join(shlex.quote(str(file.path)) for file in files)
    staged = " && ".join(
        f"stage {shlex.quote(str(file.path))} {0o777 & ~file.mode:04o} {shlex.quote(file.owner)}"
        for file in files
    )
    return f"""{_FUNCTIONS}
{{ {staged} && all keep {every}; }} || {{ for path in {every}; do
    names "$path"; rm -f -- "$new" "$old"; done; exit 1; }}
all place {every} || {{ all back {every}; exit 1; }}
sh -c {shlex.quote(command or ":")} < /dev/null || {{ all back {every}; exit {_COMMAND_FAILED}; }}
all forget {every}
"""

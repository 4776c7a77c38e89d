"""Several hosts, asked side by side by ssh: each answers, or says in one sentence why it does not."""

import os
import pwd
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pvefw.core import text
from pvefw.core.errors import ConfigError, ProgramError, UsageError
from pvefw.host import programs
from pvefw.host.concurrency import side_by_side
from pvefw.host.programs import Completed
from pvefw.host.remote import SSH, Remote, check_host
from pvefw.store import files

_KEPT = "-o ControlMaster=auto -o ControlPersist=60"
_LONGEST_SOCKET = 107
"""Bytes: unix(7)."""
_ADDED = len("pvefw-") + 40 + 17
"""What ssh makes of ``pvefw-%C``, with the ending that it has while the socket is made."""
_AT_ONCE = 32
_SECONDS = 60.0
_INVENTORY = "@"
_FORM = "--hosts FILE: one host per line. An inventory of Ansible: --hosts @INVENTORY"
_INVENTORY_SECONDS = 600.0
"""Some inventories ask a cloud."""
_Answer = TypeVar("_Answer")


def ssh(directory: Path | None = None) -> str:
    """The command line that reaches hosts, and keeps each connection for a minute.

    That saves time with ``--watch``, and where a monitoring system asks again and again. Where the
    connections' sockets cannot be made, ssh would reach nobody; so none is kept there.

    :param directory: where the sockets are to be; ``None`` for ``~/.ssh``.
    """
    # ssh asks the user database for ~, whatever HOME says
    place = directory or Path(pwd.getpwuid(os.geteuid()).pw_dir, ".ssh")
    fits = len(os.fsencode(place)) + 1 + _ADDED <= _LONGEST_SOCKET
    if not fits or not os.access(place, os.W_OK | os.X_OK):
        return SSH
    return f"{SSH} {_KEPT} -o {shlex.quote(f'ControlPath={place}/pvefw-%C')}"


def hosts(given: str) -> dict[str, str]:
    """The hosts that a file or an inventory names, and how ssh reaches each.

    :param given: a file with a host a line, where ``#`` begins a comment; or ``@`` and an inventory of
        Ansible in any of its forms, which ansible-inventory(1) reads.
    :raises UsageError: one of them is not a host, or there is none.
    :raises StoreError: the file cannot be read.
    :raises ProgramError: ansible-inventory is missing, or refuses the inventory.
    """
    if given.startswith(_INVENTORY):
        address_of = _of_inventory(given.removeprefix(_INVENTORY))
    else:
        if not Path(given).exists():
            raise UsageError(f"--hosts {given}: there is no such file", hint=_FORM)
        data = files.read_given(Path(given)).decode(errors="replace")
        lines = [line.partition("#")[0].strip() for line in data.splitlines()]
        address_of = {line: line for line in lines if line}
    for address in address_of.values():
        check_host(address)
    if not address_of:
        raise UsageError(f"--hosts {given}: it names no host", hint=_FORM)
    return address_of


def _of_inventory(place: str) -> dict[str, str]:
    done = programs.run(
        ["ansible-inventory", f"--inventory={place}", "--list"], timeout=_INVENTORY_SECONDS
    )
    try:
        groups = files.parse_json(done.stdout)
        variables = groups.pop("_meta").get("hostvars", {})
        names = dict.fromkeys(host for group in groups.values() for host in group.get("hosts", []))
        return {name: _destination(name, variables.get(name, {})) for name in [*names]}
    except files.DAMAGED as error:
        raise ConfigError(f"--hosts @{place}: ansible-inventory lists no hosts: {error}") from error


def _destination(name: str, variables: Mapping[str, Any]) -> str:
    """A host as ssh(1) takes it: of a name alone, its own configuration knows the rest."""
    address = str(variables.get("ansible_host", name))
    user, port = variables.get("ansible_user"), variables.get("ansible_port")
    who = f"{user}@" if user else ""
    if not port:
        return f"{who}{address}"
    return f"ssh://{who}{f'[{address}]' if ':' in address else address}:{port}"


def ask(
    named: Mapping[str, str],
    argv: Sequence[str],
    understand: Callable[[Completed], _Answer],
    rsh: str = "",
) -> dict[str, _Answer | str]:
    """Run a program on every host; what each answers, or the reason why it does not.

    :param named: hosts, and how ssh reaches each: :func:`hosts`.
    :param understand: makes an answer of what was printed there; where it raises one of
        :data:`pvefw.store.files.DAMAGED`, the host has answered nonsense.
    :param rsh: see :class:`pvefw.host.remote.Remote`; empty for :func:`ssh`.
    """
    remote = Remote(rsh or ssh())

    def answer(address: str) -> _Answer | str:
        try:
            done = remote.run(address, argv, timeout=_SECONDS, check=False)
        except ProgramError as error:
            return error.message
        try:
            return understand(done)
        except files.DAMAGED:
            words = done.last_words or done.stdout.strip()[:200] or "nothing"
            return text.one_line(f"status {done.returncode}: {words}")

    answers = side_by_side(answer, list(named.values()), at_once=_AT_ONCE)
    return dict(zip(named, answers, strict=True))

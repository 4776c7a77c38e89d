"""A process killed at every single change to a file: the pair always matches after the recovery.

Real processes and real signals. Python's audit events (PEP 578) come before each open, rename, removal
and mkdir; the n-th one that changes something in the tree is the last thing that the process does.
"""

import os
import signal
import sys

import pytest
from certificates import NOW, Log, own, self_signed

from pvefw.certs import chain, deploy, install, renewal_rule
from pvefw.certs.renewal_rule import Record
from pvefw.core.errors import CertificateError
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_at(number, root, work):
    """Run the work in a child that is killed before its n-th change; whether it came that far."""
    child = os.fork()
    if child == 0:
        left = number

        def audit(event, arguments):
            nonlocal left
            changes = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITES)
            where = str(arguments[0])  # through a directory's handle it is a name alone
            if changes and (where.startswith(root) or "/" not in where):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(audit)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def matches(paths):
    try:
        chain.check_pair(
            paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes(), "pair", NOW
        )
    except (CertificateError, FileNotFoundError):
        return False
    return True


def left_behind(paths):
    return [
        path.name
        for path in paths.node_dir().iterdir()
        if "tmp" in path.name or "pvefw" in path.name
    ]


@pytest.mark.parametrize("first", [True, False], ids=["first", "renewal"])
def test_every_change_of_an_install(tmp_path, first):
    old, new = self_signed("old.example"), self_signed("new.example")
    mixed, number = [], 0
    while True:
        paths = Paths(tmp_path / f"{number}", "pve1")
        if not first:
            install.install_pair(own(paths), *old, Log(), NOW)
        deploy.prepare(own(paths))

        def work(paths=paths):
            event = install.install_pair(own(paths), *new, Log(), NOW)
            info = chain.describe(event.certificate, new[0])
            renewal_rule.keep(paths, info, Record(account="default"))
            deploy.deploy(own(paths), Log())

        if not killed_at(number, str(paths.root), work):
            break
        if paths.proxy_key.exists() and not matches(paths):
            mixed.append(number)
            assert paths.install_intent.exists()
        install.recover(paths)
        install.recover(paths)
        there = paths.proxy_certificate.exists()
        assert matches(paths) if there else first, f"killed before change {number}"
        assert paths.proxy_key.exists() == there
        assert not paths.node_dir().exists() or not left_behind(paths)
        if there and paths.proxy_certificate.read_bytes() == new[0]:
            told = not deploy.pending(Node.open(paths))
            deploy.deploy(own(paths), Log())
            assert not deploy.pending(Node.open(paths)) or told
        number += 1
    assert number >= 15
    assert len(mixed) <= 1, "only between the two renames may the pair be mixed"
    assert not deploy.pending(Node.open(paths))


def test_a_kill_between_install_and_deploy_leaves_the_deploy_pending(tmp_path):
    paths = Paths(tmp_path, "pve1")
    deploy.prepare(own(paths))
    install.install_pair(own(paths), *self_signed(), Log(), NOW)
    assert deploy.pending(Node.open(paths)) == {"reload-command": ""}

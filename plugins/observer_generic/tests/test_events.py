"""Every event that people are told of, by each way to tell them, as ``observer test`` sends it."""

import base64
import sys

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from servers.processes import free_port

from pvefw import instances
from pvefw.api import NOTICES
from pvefw.core.errors import UsageError
from pvefw.instances import Instance, trial
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

SECRET = "t0p-s3cret"
PRINTS = "import sys; print(sys.argv[1], sys.stdin.read(), file=open({!r}, 'a'))"


@pytest.fixture
def node(tmp_path):
    return Node.open(Paths(tmp_path / "root", "pve1"))


@pytest.fixture
def postbox():
    """A mail server; the letters that it gets."""
    letters = []

    class Keep(Message):
        def handle_message(self, message):
            letters.append(message.as_string())

    controller = Controller(Keep(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, letters
    controller.stop()


def heard_of_all(node, plugin, settings, heard):
    """What is heard of each event, tried one after the other."""
    instances.add(node.paths, Instance("observer", "mine", plugin, settings))
    found = {}
    for kind in NOTICES:
        before = len(heard())
        task = FakeTask()
        trial.test(Node.open(node.paths), "observer", "mine", task, event=kind)
        found[kind] = "".join(heard()[before:])
        assert SECRET not in "".join(task.lines)
    return found


def test_mail(node, postbox):
    port, letters = postbox
    settings = {"to": "a@example.com", "server": "127.0.0.1", "port": str(port)}
    settings |= {"security": "none", "events": ",".join(NOTICES)}
    for kind, message in heard_of_all(node, "mail", settings, lambda: letters).items():
        assert " [pvefw] TEST: pve1: " in message, kind


def test_a_webhook(node, server, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    settings = {"url": f"{server.url}/?key=$secret"}
    settings |= {"secret": f"file:{tmp_path}/secret", "events": ",".join(NOTICES)}
    for kind, message in heard_of_all(
        node, "webhook", settings, lambda: [request[-1] for request in server.heard]
    ).items():
        assert f'"event": "{kind}"' in message
        assert SECRET not in message


def test_targets_of_proxmox(node, server, tmp_path):
    body = base64.b64encode(b"{{ fields.type }}: {{ title }}").decode()
    config = tmp_path / "notifications.cfg"
    config.write_text(
        f"webhook: mine\n\turl {server.url}/\n\tbody {body}\n"
        "matcher: all\n\ttarget mine\n\nmatcher: default-matcher\n\tdisable 1\n"
    )
    settings = {"config": str(config), "private": str(tmp_path / "none")}
    for kind, message in heard_of_all(
        node, "proxmox", settings, lambda: [request[-1] for request in server.heard]
    ).items():
        assert message.startswith(f"{kind}: TEST: pve1: ")


def test_a_program_hears_all_but_a_certificate_that_does_not_exist(node, tmp_path):
    program, said = tmp_path / "program", tmp_path / "said"
    program.write_text(f"#!{sys.executable}\n{PRINTS.format(str(said))}\n")
    program.chmod(0o755)
    instances.add(node.paths, Instance("observer", "mine", "exec", {"program": str(program)}))
    node = Node.open(node.paths)
    kinds = [notice for notice in NOTICES if notice != "certificate"]
    for kind in kinds:
        trial.test(node, "observer", "mine", FakeTask(), event=kind)
    assert [line.partition(" ")[0] for line in said.read_text().splitlines() if line] == kinds
    with pytest.raises(UsageError, match="takes no events certificate") as error:
        trial.test(node, "observer", "mine", FakeTask(), event="certificate")
    assert "pvefw cert deploy NAME --test mine" in error.value.hint


def test_a_watchdog_is_pinged_for_a_run_and_hears_of_no_event(node, server, tmp_path):
    (tmp_path / "url").write_text(f"{server.url}/{SECRET}")
    settings = {"url": f"file:{tmp_path}/url"}
    instances.add(node.paths, Instance("observer", "mine", "healthchecks", settings))
    node = Node.open(node.paths)
    trial.test(node, "observer", "mine", FakeTask())
    assert len(server.heard) == 2
    for kind in NOTICES:
        with pytest.raises(UsageError, match=f"takes no events {kind}"):
            trial.test(node, "observer", "mine", FakeTask(), event=kind)

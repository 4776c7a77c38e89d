"""Targets and matchers of Proxmox VE: which of them get an event, and in which form."""

import base64
import json
from datetime import datetime
from email import message_from_bytes, policy

import pytest

from pvefw.api import NoticeEvent, ProviderError, Severity
from pvefw.testing.fakes import FakeTask
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_generic import mail
from pvefw_observer_generic.matching import matches
from pvefw_observer_generic.proxmox import Proxmox, Section

NOTICE = NoticeEvent("pve1", "served", Severity.ERROR, 'pve1: "it" is wrong', ["one", "two"])
USERS = "user:root@pam:1:0:::root@example.com:::\nuser:eve@pve:1:0::::::\n"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """What sendmail(1) of the host has got."""
    program, folder = tmp_path / "sendmail", tmp_path / "letters"
    folder.mkdir()
    program.write_text(f'#!/bin/sh\ntest "$*" = "-i -t" && cat > $(mktemp {folder}/XXXXXX)\n')
    program.chmod(0o755)
    monkeypatch.setattr(mail, "_SENDMAIL", str(program))

    def found():
        read = [path.read_bytes() for path in folder.iterdir()]
        return [message_from_bytes(message, policy=policy.default) for message in read]

    return found


@pytest.fixture
def observer(tmp_path):
    """Makes the observer of a node with these files."""

    def do(config="", private=""):
        paths = [tmp_path / name for name in ("notifications.cfg", "private.cfg", "user.cfg")]
        for path, text in zip(paths, (config, private, USERS), strict=True):
            path.write_text(text)
        return Proxmox(*paths)

    return do


def test_without_a_file_root_gets_mail_as_in_proxmox_ve(observer, letters):
    observer().on_notice(NOTICE, FakeTask())
    [letter] = letters()
    assert letter["To"] == "root@example.com"
    assert letter["Subject"] == '[pvefw] pve1: "it" is wrong'


def test_the_default_matcher_can_be_off(observer, letters):
    observer("matcher: default-matcher\n\tdisable 1\n").on_notice(NOTICE, FakeTask())
    assert letters() == []


def gotify(server, matcher=""):
    return f"gotify: phone\n\tserver {server.url}/\n\nmatcher: default-matcher\n\ttarget phone\n{matcher}"


def test_gotify(observer, server):
    task = FakeTask()
    observer(gotify(server), "gotify: phone\n\ttoken t0p\n").on_notice(NOTICE, task)
    [(method, path, headers, body)] = server.heard
    assert (method, path, headers["X-Gotify-Key"]) == ("POST", "/message", "t0p")
    assert json.loads(body) == {
        "title": 'pve1: "it" is wrong',
        "message": "one\ntwo",
        "priority": 9,
    }
    assert task.lines == ["Sent to phone (gotify)"]


def test_webhook(observer, server):
    body = '{"text": "{{ escape title }}", "how": {{ json severity }}, "of": "{{fields.type}}"}'
    config = (
        f"webhook: hook\n\tmethod put\n\turl {server.url}/{{{{ url-encode fields.hostname }}}}"
        f"?key={{{{ secrets.key }}}}\n\theader name=X-Node,value={encoded('{{ fields.hostname }}')}\n"
        f"\tbody {encoded(body)}\nmatcher: default-matcher\n\ttarget hook\n"
    )
    private = f"webhook: hook\n\tsecret name=key,value={encoded('t0p')}\n"
    observer(config, private).on_notice(NOTICE, FakeTask())
    [(method, path, headers, said)] = server.heard
    assert (method, path, headers["X-Node"]) == ("PUT", "/pve1?key=t0p", "pve1")
    assert json.loads(said) == {"text": 'pve1: "it" is wrong', "how": "error", "of": "served"}


def test_a_template_that_is_not_understood_is_said(observer, server):
    config = (
        f"webhook: hook\n\turl {server.url}\n\tbody {encoded('{{#if title}}x{{/if}}')}\n"
        "matcher: default-matcher\n\ttarget hook\n"
    )
    with pytest.raises(ProviderError, match="hook: its template has blocks"):
        observer(config).on_notice(NOTICE, FakeTask())
    assert server.heard == []


def test_one_target_that_fails_costs_no_other(observer, server, letters):
    server.status = 500
    config = gotify(server, "\ttarget root\nsendmail: root\n\tmailto a@example.com\n")
    with pytest.raises(ProviderError, match=r"^phone: status 500"):
        observer(config).on_notice(NOTICE, FakeTask())
    assert [letter["To"] for letter in letters()] == ["a@example.com"]


def test_targets_that_are_off_or_gone(observer, server, letters):
    config = gotify(server, "\ttarget gone\n").replace("phone\n\t", "phone\n\tdisable 1\n\t", 1)
    observer(config).on_notice(NOTICE, FakeTask())
    assert server.heard == letters() == []


def test_nobody_has_an_address(observer, letters):
    config = "sendmail: mail-to-root\n\tmailto-user eve@pve\n"
    with pytest.raises(ProviderError, match="no mail address is known"):
        observer(config).on_notice(NOTICE, FakeTask())


MONDAY_NOON = datetime(2026, 11, 23, 12).astimezone()
FIELDS = {"type": "served", "hostname": "pve1"}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, True),
        ({"match-severity": ["error,warning"]}, True),
        ({"match-severity": ["info"]}, False),
        ({"match-field": ["exact:type=served"]}, True),
        ({"match-field": ["exact:type=vzdump,served"]}, True),
        ({"match-field": ["regex:hostname=^pve[0-9]$"]}, True),
        ({"match-field": ["exact:job=x"]}, False),
        ({"match-calendar": ["mon..fri 9-17"]}, True),
        ({"match-calendar": ["sat,sun 8:30-12"]}, False),
        ({"match-calendar": ["fri..mon 12-13"]}, True),
        ({"match-calendar": ["13-14"]}, False),
        ({"match-severity": ["info"], "match-field": ["exact:type=served"]}, False),
        ({"match-severity": ["info"], "match-field": ["exact:type=served"], "mode": ["any"]}, True),
        ({"match-severity": ["info"], "invert-match": ["1"]}, True),
    ],
)
def test_matchers(rules, expected):
    found = matches(Section("matcher", "one", rules), FIELDS, Severity.ERROR, MONDAY_NOON)
    assert found is expected


@pytest.mark.parametrize(
    "rules",
    [
        {"match-field": ["nonsense"]},
        {"match-field": ["regex:type=("]},
        {"match-calendar": ["noon"]},
        {"match-calendar": ["xyz 1-2"]},
    ],
)
def test_a_rule_that_cannot_be_read_is_said(rules):
    with pytest.raises(ProviderError, match="matcher one: match-"):
        matches(Section("matcher", "one", rules), FIELDS, Severity.ERROR, MONDAY_NOON)


class TestProxmox(ObserverConformance):
    @pytest.fixture
    def plugin(self, observer, server):
        return observer(gotify(server))

    @pytest.fixture
    def heard(self, server):
        return lambda: len(server.heard)

    @pytest.fixture
    def broken_plugin(self, observer):
        return observer(
            "gotify: a\n\tserver http://127.0.0.1:9\nmatcher: default-matcher\n\ttarget a\n"
        )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("smtp: it\n\tserver 127.0.0.1\n\tport x\n\tmailto a@example.com\n", "'x' is not a port"),
        ("smtp: it\n\tserver 127.0.0.1\n\tmailto nobody\n", "'nobody' is not a mail address"),
        ("pager: it\n\tnumber 1\n", "a target of the type pager is not known"),
    ],
)
def test_a_target_that_cannot_be_used_says_why(observer, target, said):
    with pytest.raises(ProviderError, match=f"it: {said}"):
        observer(f"{target}\nmatcher: default-matcher\n\ttarget it\n").on_notice(NOTICE, FakeTask())


def test_a_file_that_cannot_be_read_is_named(observer, tmp_path):
    made = observer()
    (tmp_path / "notifications.cfg").unlink()
    (tmp_path / "notifications.cfg").mkdir()
    with pytest.raises(ProviderError, match=r"notifications\.cfg cannot be read: Is a directory"):
        made.on_notice(NOTICE, FakeTask())

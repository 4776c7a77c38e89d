"""Every parser of foreign bytes, with bytes: it says what is wrong in an error of ours, or it takes them.

``make fuzz SECONDS=600`` goes on for as long as one says. What it finds is kept in ``corpus``, and is
tried again by every run of the tests.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import dns.exception
import dns.message
import pytest
from environments import ROOT
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pvefw.acme import client, renewal_info
from pvefw.acme.answers import Response, problem_in, problem_of
from pvefw.api import Severity
from pvefw.boot import records
from pvefw.certs import bindings, chain, install, other_clients, renewal_rule
from pvefw.core import doctor
from pvefw.core import settings as plugin_settings
from pvefw.core.errors import PvefwError
from pvefw.dns import journal
from pvefw.node import maintenance
from pvefw.store import accounts, files, guest_notes, node_config, nodes, persistent_records
from pvefw.store.paths import Paths
from pvefw.store.section_config import SectionConfig
from pvefw.tasks import registry
from pvefw.tasks.upid import Upid
from pvefw.wanted import document
from pvefw_acme_dns_generic import script_info
from pvefw_api import call
from pvefw_api_server import answering, front, users, wire
from pvefw_bootloader_grub import cmdline, grubenv, menu, script
from pvefw_bootloader_systemd import entries
from pvefw_observer_generic import matching, proxmox

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("PVEFW_FUZZ_SECONDS", "0"))


def words(data):
    return data.decode(errors="replace")


def acme(data):
    headers = {
        "Content-Type": "application/json",
        "Retry-After": words(data[:40]),
        "Link": words(data[:200]),
    }
    answer = Response(400, headers, data, "https://ca.test/x")
    problem_in(answer)
    answer.alternates()
    answer.json()


def sections(data):
    parsed = SectionConfig.parse(data, "x")
    assert SectionConfig.parse(parsed.render(), "x").render() == parsed.render()


def with_file(parse):
    def target(data, folder):
        (folder / "file").write_bytes(data)
        return parse(folder / "file")

    return target


def acme_objects(data):
    """Every object of an authority, as JSON or in the place of each of its values."""
    answer = Response(200, {"Content-Type": "application/json"}, data, "https://ca.test/x")
    said = answer.json()
    for parse in (
        lambda: client._order(answer, answer.url),
        lambda: client._authorization(said, answer.url),
        lambda: renewal_info.parse(said, answer.url, None),
        lambda: problem_of(said, answer.url),
    ):
        with contextlib.suppress(PvefwError):
            parse()


def grub_menu(data):
    found = menu.parse(words(data))
    list(found.kernels())
    found.find(found.default)


def state(parse):
    """A target for what is kept in a file of a node's."""

    def target(data, folder):
        paths = Paths(folder, "pve1")
        return parse(paths, data)

    return target


def kept_in(where, load):
    def parse(paths, data):
        path = where(paths)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        load(paths)

    return state(parse)


def api_call(paths, data):
    """What the front hands on, with any text in each place: every call has an answer."""
    said, text = {}, words(data)
    for key in ("path", "ticket", "csrf", "authorization"):
        said |= {"method": "PUT", "path": "/nodes/pve1/config", "client": text, key: text}
        answers = []
        answering.answer(paths, said, answers.append)
        assert len(answers) == 1
    answering.answer(paths, {**said, "authorization": f"PVEAPIToken=a@pve!{text}"}, answers.append)
    for method, path, keys in (
        ("GET", f"/{text}", []),
        ("GET", "/nodes/pve1/tasks", ["since", "typefilter", "userfilter"]),
        ("PUT", "/nodes/pve1/config", ["acme", "acmedomain0", "description", "wakeonlan"]),
        ("POST", "/cluster/acme/plugins", ["id", "type", "api", "data"]),
    ):
        for key in keys or [""]:
            given = {name: text if name == key else "dns" for name in keys}
            with contextlib.suppress(PvefwError):
                call.call(paths, method, path, given)


def api_line(data):
    """What comes through the helper's socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data + b"\n")
        theirs.shutdown(socket.SHUT_WR)
        wire.receive(ours)


def notifications(data):
    event, text = {"type": "renewal-failed", "hostname": "pve1"}, words(data)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for key in ("match-severity", "match-field", "match-calendar"):
        for section in proxmox._sections(f"{text}\nmatcher: a\n\t{key} {text}").values():
            with contextlib.suppress(PvefwError):
                matching.matches(section, event, Severity.ERROR, now)
    for parse in (
        lambda: list(proxmox._named([text])),
        lambda: proxmox._decoded(text),
        lambda: proxmox._filled(text, event),
        lambda: proxmox._addresses(text),
    ):
        with contextlib.suppress(PvefwError):
            parse()


def other_client(*names):
    """A target for a directory of another client, in which some files are foreign."""

    def target(data, folder):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for read in (other_clients.accounts, other_clients.certificates):
            with contextlib.suppress(PvefwError):
                read(folder)

    return target


def ansible_module():
    """The collection's module; Ansible, not Python, finds it."""
    path = ROOT / "ansible/plugins/modules/apply.py"
    spec = importlib.util.spec_from_file_location("pvefw_apply", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ansible_change(data):
    """Any text in the place of each part of a report."""
    for report in (b"%s", b"{%s}", b'{"changed": true, "changes": %s}'):
        with contextlib.suppress(ValueError):
            APPLY.outcome(words(report % data))
    change = b'{"part": %s, "name": %s, "before": %s, "after": %s}' % ((data,) * 4)
    APPLY.outcome(words(b'{"changed": true, "changes": [%s]}' % change))


APPLY = ansible_module()
TARGETS = {
    "ansible-report": lambda data: APPLY.outcome(words(data)),
    "ansible-change": ansible_change,
    "document": lambda data: document.read(data, "x"),
    "document-inside": lambda data: document.read(b"plugins:\n  a: {data: " + data + b"}\n", "x"),
    "api-call": state(api_call),
    "api-line": api_line,
    "api-body": lambda data: front._members(json.loads(data)),
    "api-users": kept_in(lambda paths: paths.api_users, users.load),
    "notifications": notifications,
    "of-certbot": other_client(
        "renewal/x.conf",
        "accounts/ca/directory/1/regr.json",
        "accounts/ca/directory/1/private_key.json",
    ),
    "of-acmesh": other_client("account.conf", "x/x.conf", "ca/h/d/ca.conf", "ca/h/d/account.key"),
    "of-lego": other_client("accounts/h/m/account.json", "certificates/x.json"),
    "maintenance": kept_in(lambda paths: paths.maintenance, maintenance.read),
    "acme-objects": acme_objects,
    "account": kept_in(lambda paths: paths.acme_dir / "x", lambda paths: accounts.load(paths, "x")),
    "journal": kept_in(lambda paths: paths.dns_journals / "x.json", journal.load_all),
    "persistent-records": kept_in(lambda paths: paths.persistent_records, persistent_records.load),
    "renewal-state": kept_in(lambda paths: paths.renewal_state, renewal_rule.records),
    "installation": kept_in(lambda paths: paths.install_intent, install.recover),
    "esp-record": kept_in(
        lambda paths: paths.boot_state / "esp-AAAA.json", lambda paths: records.load(paths, "AAAA")
    ),
    "guest-list": kept_in(lambda paths: paths.vmlist, guest_notes.read),
    "members": kept_in(lambda paths: paths.members, lambda paths: nodes._member(paths, "pve1")),
    "task-last-line": with_file(registry._last_status),
    "grub-menu": grub_menu,
    "doctor-report": lambda data: doctor._Report.read(words(data)),
    "section-config": sections,
    "node-config": lambda data: node_config.NodeConfig.parse(data, "x").values,
    "property-string": lambda data: node_config.parse_property_string(words(data), "a"),
    "upid": lambda data: Upid.parse(words(data)),
    "task-lists": with_file(lambda path: list(registry._entries(path, registry._ACTIVE))),
    "task-index": with_file(lambda path: list(registry._entries(path, registry.INDEX_LINE))),
    "acme": acme,
    "dns": dns.message.from_wire,
    "certificates": lambda data: chain.parse(data, "x"),
    "certificates-pem": lambda data: chain.parse(
        b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n", "x"
    ),
    "bindings": lambda data: bindings.read(words(data), None, "x"),
    "info-block": lambda data: script_info.parse("x", words(data)),
    "info-block-inside": lambda data: script_info.parse("x", f"dns_x_info='{words(data)}'\n"),
    "grub-env": with_file(grubenv.read),
    "grub-defaults": lambda data: cmdline.kernel_words(words(data)),
    "loader-entry": with_file(entries.read_fields),
    "data-file": lambda data: plugin_settings.parse(words(data)),
    "state-file": with_file(files.read_object),
}
EXPECTED = {
    "ansible-report": (ValueError,),  # the module answers it
    "ansible-change": (ValueError,),
    "api-line": (ValueError, OSError),  # as they are documented
    "api-body": (ValueError, RecursionError),  # the front answers both
    "doctor-report": doctor._NO_REPORT,
    "grub-menu": (script.Unbalanced,),  # as it is documented
    "dns": (PvefwError, dns.exception.DNSException),
    "property-string": (ValueError,),  # as it is documented
}
PIECES = st.sampled_from(
    [
        *(b"\n", b"\t", b": ", b"=", b",", b'"', b"'", b"\\", b"{", b"[", b"UPID:", b"\0", b"\xff"),
        *(b"\x1b", b"0x", b"-1", b"9" * 30, b"acme: x\n\t", b"domains=", b"%0A", b"\r\n", b"#"),
        b"-----BEGIN ",
    ]
)
DATA = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
    st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join),
)


def try_it(name, data, folder):
    """Feed a parser; what it cannot take is kept.

    :raises Exception: it raised something that is no error of ours.
    """
    target = TARGETS[name]
    try:
        target(data, folder) if target.__name__ == "target" else target(data)
    except EXPECTED.get(name, (PvefwError,)):
        pass
    except Exception:
        if SECONDS:
            place = CORPUS / name
            place.mkdir(parents=True, exist_ok=True)
            (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        raise


@pytest.mark.timeout(0 if SECONDS else 300)
@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_everything_or_says_what_is_wrong(name, tmp_path):
    @settings(
        max_examples=1000 if SECONDS else 100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(DATA)
    def fuzzed(data):
        try_it(name, data, tmp_path)

    until = time.monotonic() + SECONDS / len(TARGETS)
    fuzzed()
    while time.monotonic() < until:
        seed(os.urandom(8))(fuzzed)()


def test_each_parser_has_a_corpus():
    """What was found, or what is known to hurt; there is none for a parser that is gone."""
    kept = {path.parent.name for path in CORPUS.glob("*/*")}
    assert kept == {*TARGETS}


@pytest.mark.parametrize(
    "found", sorted(CORPUS.glob("*/*")), ids=lambda example: f"{example.parent.name}-{example.name}"
)
def test_what_was_found_once_is_found_no_more(found, tmp_path):
    try_it(found.parent.name, found.read_bytes(), tmp_path)

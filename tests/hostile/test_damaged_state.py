"""Every file that pvefw keeps, damaged in every way: commands say what is wrong, or do without it.

None of them waits, fails inside, fills the memory or obeys what stands there.
"""

import json
import os
from pathlib import Path

import pytest
from certificates import NOW, self_signed
from waiting import wait_until

from pvefw.certs import renewal_rule, served
from pvefw.cli.run import run
from pvefw.core.errors import ConfigError, StoreError
from pvefw.dns import journal
from pvefw.host import reading
from pvefw.store import files, persistent_records
from pvefw.store.paths import Paths

TIME = "2026-01-01T00:00:00+00:00"
RENEWAL = {
    "fingerprint": "x",
    "window": {"start": TIME, "end": TIME, "explanation": ""},
    "profiles": ["a"],
    "ask_again": TIME,
    "failures": 1,
    "reason": "r",
    "next_try": TIME,
    "told": TIME,
    "told_urgency": "warning",
}
ENTRY = {"instance": "web", "zone": "x.", "name": "_a.x.", "value": "v"}
ESP = {"loader": "x", "under_way": True, "seal": None, "origins": {"a": [1]}, "failure": ""}
KEPT = {
    "order": (lambda paths: paths.open_order, {"url": "u", "account": "a", "settings": {}}),
    "renewal": (lambda paths: paths.renewal_state, {"pveproxy-ssl.pem": RENEWAL}),
    "deploy": (lambda paths: paths.deploy_state, {"done": {"a": "b"}, "failed": {"c": "d"}}),
    "dns": (
        lambda paths: paths.dns_journals / "1-aaaa.json",
        {"pid": 1, "pstart": 1, "created": TIME, "entries": [ENTRY]},
    ),
    "served": (lambda paths: paths.served_state, {"127.0.0.1:9": {"reason": "", "told": TIME}}),
    "attention": (lambda paths: paths.attention, {"acknowledged": ["x"], "told": {"x": TIME}}),
    "providers": (lambda paths: paths.provider_notes, [{"name": "x", "title": "y"}]),
    "maintenance": (lambda paths: paths.maintenance, {"hosts": ["pve1"], "done": ["pve1"]}),
    "drained": (lambda paths: paths.drained(), {"since": TIME, "guests": {"100": "pve2"}}),
    "revocations": (lambda paths: paths.revocations, {"revoked": [{"serial": "1", "when": TIME}]}),
    "retention": (lambda paths: paths.task_retention, {}),
    "removals": (lambda paths: paths.task_removals, ["x"]),
    "guests": (lambda paths: paths.guest_notes, {"100": "a"}),
    "suspended": (lambda paths: paths.suspended_guests, ["100"]),
    "started": (lambda paths: paths.boot_guests, {"started": ["100"], "all": True}),
    "esp": (lambda paths: paths.boot_state / "esp-AAAA-BBBB.json", ESP),
    "one-shot": (lambda paths: paths.boot_state / "next-boot.json", {"boot_id": "x", "file": [1]}),
    "index": (lambda paths: paths.task_index, {}),
    "install": (lambda paths: paths.install_intent, [{"target": "/x", "digest": "y"}]),
    "records": (lambda paths: paths.persistent_records, {"records": []}),
    "active": (lambda paths: paths.task_dir / "active", []),
    "history": (lambda paths: paths.task_dir / "index", []),
    "copy": (lambda paths: paths.store_copy / "index.json", {"datacenter.cfg": ["1", "x", 2]}),
    "members": (lambda paths: paths.members, {"nodelist": {"pve1": {"ip": "192.0.2.1"}}}),
    "vmlist": (lambda paths: paths.vmlist, {"ids": {"100": {"node": "pve1", "type": "qemu"}}}),
}
COMMANDS = [
    *(["status"], ["renew"], ["task", "list"], ["task", "prune"], ["task", "index"]),
    *(["dns", "cleanup"], ["boot", "status"], ["boot", "refresh"], ["cert", "recover"]),
    *(
        ["boot-guests"],
        ["shutdown-guests"],
        ["acme", "cert", "order", "--force"],
        ["wakeonlan", "pve2"],
    ),
    ["acme", "persist", "remove", "a.example.com"],
    *(["node", "return"], ["node", "maintain", "--hosts", "pve9", "--", "true"]),
    *(["status", "--acknowledge"], ["cert", "check"], ["acme", "cert", "revoke"]),
]


def leaves(value, leaf):
    """The same structure with this in every place of a value."""
    match value:
        case dict():
            return {key: leaves(text, leaf) for key, text in value.items()}
        case list():
            return [leaves(item, leaf) for item in value]
    return leaf


def typed(leaf):
    return lambda path, value: path.write_text(json.dumps(leaves(value, leaf)))


def bytes_(data):
    return lambda path, _value: path.write_bytes(data)


def truncated(path, value):
    text = json.dumps(value)
    path.write_text(text[: len(text) // 2])


def huge(path, _value):
    path.touch()
    os.truncate(path, 1 << 40)


DAMAGES = {
    "truncated": truncated,
    "empty": bytes_(b""),
    "garbage": bytes_(bytes(range(256)) * 4),
    "lists in lists": bytes_(b"[" * 10_000 + b"]" * 10_000),
    "objects in objects": bytes_(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "a number": bytes_(b"5"),
    "a list": bytes_(b'[[1], {"a": null}]'),
    "an object": bytes_(b'{"a": 5, "pveproxy-ssl.pem": {"a": 1}, "entries": [[]], "files": 1}'),
    "numbers": typed(5),
    "no number": typed(float("inf")),
    "texts": typed("\x1b]52;c;x\x07\0"),
    "lists": typed([{}]),
    "nothing": typed(None),
    "large": typed(-(10**30)),
    "times without a zone": typed("2020-01-01T00:00:00"),
    "a directory": lambda path, _value: path.mkdir(),
    "a pipe": lambda path, _value: os.mkfifo(path),
    "a link to itself": lambda path, _value: path.symlink_to(path.name),
    "a terabyte of nothing": huge,
}


@pytest.fixture
def node(paths, monkeypatch, tmp_path):
    """A node with a certificate; its commands are those of this process."""
    certificate, key = self_signed("a.example.com", days=900)
    files.replace(paths.proxy_certificate, certificate)
    files.replace(paths.proxy_key, key, private=True)
    files.replace(paths.node_config(), b"acmedomain0: a.example.com\n")
    files.replace(paths.node_pvefw_cfg(), b"serves: 127.0.0.1:9\n")
    files.replace(paths.esp_uuids, b"AAAA-BBBB\n")
    monkeypatch.setattr(served, "_PAUSES", ())  # nobody will serve it there, whatever is damaged
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)
    monkeypatch.chdir(tmp_path)
    return paths


@pytest.fixture
def said(node, capfd):
    """What a command says; it ends, and not by a fault of ours."""

    def run_(words):
        status = run(words)
        text = "".join(capfd.readouterr())
        assert status in (0, 1), (words, text)
        assert "internal error" not in text, (words, text)
        assert all(line.isprintable() for line in text.split("\n")), (words, text)
        return text

    return run_


def put(paths, name, damage):
    where, value = KEPT[name]
    path = where(paths)
    path.parent.mkdir(parents=True, exist_ok=True)
    DAMAGES[damage](path, value)


def test_every_file_is_damaged(paths):
    """Of those below /var/lib/pvefw, and of what nodes of a cluster keep for each other."""
    known = [getattr(paths, name) for name, var in vars(Paths).items() if isinstance(var, property)]
    ours = {path for path in known if paths.state_dir in path.parents}
    damaged = {where(paths) for where, _ in KEPT.values()}
    folders = {file for file in ours if any(file in path.parents for path in damaged)}
    assert ours - folders - damaged == set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_command_fails_inside_or_waits_where_everything_is_damaged(node, said, damage):
    for name in KEPT:
        put(node, name, damage)
    for words in COMMANDS:
        said(words)


READERS = {
    "install": ["cert", "recover"],
    "records": ["acme", "persist", "remove", "a.example.com"],
    "dns": ["dns", "cleanup"],
    "renewal": ["renew", "--dry-run"],
    "active": ["task", "list"],
    "history": ["task", "list"],
    "index": ["task", "index"],
    "removals": ["task", "prune"],
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_alone(node, said, name):
    """The others are not in the way of what it does."""
    path = KEPT[name][0](node)
    for damage in DAMAGES:
        put(node, name, damage)
        said(READERS[name])
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def test_a_damaged_record_of_an_installation_is_named_by_every_command(node, said):
    put(node, "install", "texts")
    assert str(node.install_intent) in said(["config", "get"])


@pytest.mark.parametrize("leaf", [5, [], "x", "2020-01-01T00:00:00", float("nan")])
def test_of_renewals_what_is_damaged_is_forgotten_and_nothing_else(paths, leaf):
    good = {**RENEWAL, "failures": 3}
    said = {"a.pem": leaves(RENEWAL, leaf), "b.pem": good}
    files.replace(paths.renewal_state, json.dumps(said).encode())
    found = renewal_rule.records(paths)
    assert [*found] == ["b.pem"]
    assert (found["b.pem"].failures, found["b.pem"].held_back(NOW)) == (3, False)


@pytest.mark.parametrize("leaf", [5, [], None, float("inf")])
def test_a_journal_and_a_record_of_other_types_are_named(paths, leaf):
    put(paths, "dns", "empty")
    [path] = journal.files_of(paths)
    path.write_text(json.dumps(leaves(KEPT["dns"][1], leaf)))
    with pytest.raises(ConfigError, match="damaged"):
        journal.load_all(paths)
    record = {"domain": leaf, "text": "x", "account": "a", "thumbprint": ""}
    files.replace(paths.persistent_records, json.dumps({"records": [record]}).encode())
    with pytest.raises(ConfigError, match="cannot be read"):
        persistent_records.load(paths)


@pytest.mark.parametrize(
    "damage", [*("truncated", "garbage", "empty"), *("lists", "a number", "texts", "numbers")]
)
def test_a_damaged_note_of_guests_that_are_away_is_kept(node, said, damage):
    """That all of them are back would be said of none, and the note removed."""
    put(node, "drained", damage)
    before = node.drained().read_bytes()
    told = said(["node", "return"])
    assert "the note of where the guests have gone is damaged" in told
    assert "pvefw node return --leave" in told
    assert node.drained().read_bytes() == before


def test_what_has_no_end_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "large").write_bytes(bytes(4000))
    monkeypatch.setattr(reading, "LARGEST", 3999)
    with pytest.raises(StoreError, match="it has more than"):
        files.read(tmp_path / "large")
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 40)
    with pytest.raises(StoreError, match="a hole, and no file"):
        files.read(tmp_path / "hole")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="not a regular file"):
        files.read(tmp_path / "endless")


def test_a_pipe_that_the_user_names_is_read(tmp_path):
    import threading

    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        files.read(path)
    writer = threading.Thread(target=path.write_bytes, args=[b"secret"], daemon=True)
    writer.start()
    assert files.read_given(path) == b"secret"
    wait_until(lambda: not writer.is_alive(), "it was read")


def test_files_of_the_kernel_are_read_in_pieces():
    """Asked for all at once, those below /proc/sys have no memory for it."""
    assert len(files.read(Path("/proc/sys/kernel/random/boot_id"))) == 37

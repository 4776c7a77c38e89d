"""``pvefw status --hosts``: many hosts on one screen, whatever each of them answers."""

import json
import sys
from pathlib import Path

import documented
import pytest

from pvefw.core.errors import ConfigError, UsageError
from pvefw.node import fleet

RSH = """#!/bin/sh
echo "$@" >>'{place}/calls'
cat '{place}/'"$1".out 2>/dev/null || {{ echo "ssh: no route to $1" >&2; exit 255; }}
exit $(cat '{place}/'"$1".status 2>/dev/null || echo 0)
"""


def part(state, *lines):
    return {"state": state, "lines": [*lines], "data": {}}


def state(**parts):
    good = all(value["state"] in ("ok", "none", "acknowledged") for value in parts.values())
    return {"node": "x", "time": "2026-12-01T00:00:00+00:00", "ok": good, "parts": parts}


class Site:
    """Hosts that a script plays in the place of ssh."""

    def __init__(self, place, pvefw):
        self.place, self.pvefw = place, pvefw
        self.rsh = place / "rsh"
        self.rsh.write_text(RSH.format(place=place))
        self.rsh.chmod(0o755)
        self.list = place / "hosts"

    def host(self, name, said, status=0):
        with self.list.open("a") as file:
            file.write(f"{name}  # one of ours\n")
        if said is not None:
            text = said if isinstance(said, str) else json.dumps(said)
            (self.place / f"{name}.out").write_text(text)
        (self.place / f"{name}.status").write_text(str(status))

    def status(self, *more):
        return self.pvefw("status", "--hosts", str(self.list), "--rsh", str(self.rsh), *more)

    def json(self):
        status, out, err = self.status("--output-format", "json")
        assert err == ""
        found = json.loads(out)
        assert documented.faults("status", found) == []
        assert found["ok"] == (status == 0)
        return found["hosts"]


@pytest.fixture
def site(tmp_path, pvefw):
    return Site(tmp_path, pvefw)


def test_all_hosts_on_one_screen(site):
    site.host("n1", state(boot=part("ok", "fine"), tasks=part("none", "none")))
    site.host("n2", state(boot=part("attention", "ESP gone", "pinned"), ksm=part("ok", "on")), 1)
    site.host("n3", None)
    status, out, err = site.status()
    assert (status, err) == (1, "")
    assert [line.split() for line in out.splitlines()] == [
        ["host", "part", "state"],
        ["n1", "all", "ok"],
        ["n2", "boot", "attention", "ESP", "gone"],
        ["pinned"],
        ["n3", "no", "answer", "failed", "status", "255:", "ssh:", "no", "route", "to", "n3"],
    ]
    calls = (site.place / "calls").read_text().splitlines()
    assert sorted(calls) == [f"n{at} pvefw status --output-format json" for at in (1, 2, 3)]


def test_json_of_each(site):
    site.host("n1", state(boot=part("ok")))
    assert [(row["host"], row["ok"]) for row in site.json()] == [("n1", True)]
    site.host("n2", None)
    first, second = site.json()
    assert first["status"] == state(boot=part("ok"))
    assert (second["ok"], second["status"]) == (False, None)
    assert "no route to n2" in second["problem"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("", 0),
        ("Welcome to n1!\n{}", 0),
        ("[]", 0),
        ('{"ok": true, "parts": []}', 0),
        ('{"ok": true, "parts": {"boot": {"state": "ok"}}}', 0),
        ('{"ok": true, "parts": {"boot": {"state": "attention", "lines": ["x"]}}}', 0),
        (json.dumps(state(boot=part("ok"))), 2),
        ("[" * 100_000, 0),
    ],
    ids=["nothing", "greeting", "list", "no map", "no lines", "lies", "other status", "deep"],
)
def test_a_host_that_answers_nonsense_does_not_answer(site, said, status):
    site.host("n1", said, status)
    site.host("n2", state(boot=part("ok")))
    first, second = site.json()
    assert first["problem"].startswith(f"status {status}: ")
    assert second["ok"]


def test_what_a_host_says_does_nothing_to_a_terminal(site):
    site.host("n1", state(boot=part("attention", "\x1b[2Jgone\nTask OK")), 1)
    assert "\x1b" not in site.status()[1]


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        (
            [("PVEFW OK - boot | 'x'=1", 0)],
            0,
            "PVEFW OK - n1 | 'hosts'=1;;;0 'hosts not ok'=0;0;;0",
        ),
        (
            [("PVEFW OK - boot", 0), ("PVEFW WARNING - boot: gone | 'x'=1", 1), (None, 0)],
            1,
            "PVEFW WARNING - n2 WARNING: boot: gone; n3 UNKNOWN: status 255: ssh: no route to n3 |",
        ),
        ([("PVEFW CRITICAL - x", 2), ("PVEFW WARNING - y", 1)], 2, "n1 CRITICAL: x; n2 WARNING: y"),
        ([("bash: pvefw: not found", 127)], 3, "n1 UNKNOWN: status 127: bash: pvefw: not found"),
    ],
)
def test_one_line_for_monitoring(site, lines, status, said):
    for at, (line, code) in enumerate(lines, start=1):
        site.host(f"n{at}", line, code)
    found, out, err = site.status("--check", "boot")
    assert (found, err) == (status, "")
    assert said in out and out.count("\n") == 1
    assert "pvefw status boot --check" in (site.place / "calls").read_text()


@pytest.mark.parametrize("name", ["-oProxyCommand=touch x", "a b", "$(id)", "ssh://-l"])
def test_what_is_no_host_is_asked_nothing(site, name):
    site.host("n1", state())
    site.list.write_text(f"n1\n{name}\n")
    status, _, err = site.status()
    assert status == 2 and "is not a host" in err
    assert not (site.place / "calls").exists()


def test_no_host_and_no_acknowledgement_of_others(site):
    site.list.write_text("# none yet\n")
    assert "it names no host" in site.status()[2]
    assert "for this node only" in site.status("--acknowledge")[2]


@pytest.mark.parametrize("said", ["[]", "{}", '{"_meta": {}, "all": 7}', "Traceback"])
def test_what_ansible_says_that_is_no_inventory(tmp_path, monkeypatch, said):
    program = tmp_path / "ansible-inventory"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ConfigError, match="--hosts @it: ansible-inventory lists no hosts: "):
        fleet.hosts("@it")


def test_a_list_of_hosts_that_is_missing(site):
    status, _, err = site.status()
    assert status == 2 and f"--hosts {site.list}: there is no such file" in err
    assert not (site.place / "calls").exists()


def test_an_inventory_of_ansible(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hosts.ini").write_text(
        "lonely\n[pve]\npve1 ansible_host=192.0.2.1 ansible_user=admin\n"
        "pve2 ansible_host=2001:db8::2 ansible_port=2222\n[all:vars]\nansible_user=root\n"
    )
    assert fleet.hosts(f"@{tmp_path}/hosts.ini") == {
        "lonely": "root@lonely",
        "pve1": "admin@192.0.2.1",
        "pve2": "ssh://root@[2001:db8::2]:2222",
    }
    (tmp_path / "bad.ini").write_text("pve1 ansible_host='-oProxyCommand=x'\n[a]\npve1\n")
    with pytest.raises(UsageError, match="is not a host"):
        fleet.hosts(f"@{tmp_path}/bad.ini")

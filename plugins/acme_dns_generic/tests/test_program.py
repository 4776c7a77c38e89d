"""A program of the administrator's: the conformance kit, and what its exit status means."""

import json
import sys
from pathlib import Path

import pytest

from pvefw.api import CredentialsRejected, ProviderError, TxtRecord, Unavailable
from pvefw.core.errors import PvefwError
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic.program import Exec

PROGRAM = """#!{python}
import json, sys
from pathlib import Path
action, request = sys.argv[1], json.load(sys.stdin)
if request.get("credential") == "wrong":
    print("wrong credential", file=sys.stderr)
    sys.exit(77)
path = Path({state!r})
records = json.loads(path.read_text()) if path.exists() else []
for one in request["records"]:
    pair = [one["name"], one["value"]]
    if action == "add" and pair not in records:
        records.append(pair)
    if action == "remove" and pair in records:
        records.remove(pair)
path.write_text(json.dumps(records))
print(action, len(request["records"]), "in", request["zone"])
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_text(PROGRAM.format(python=sys.executable, state=str(tmp_path / "state")))
    path.chmod(0o755)
    return path


class TestProgram(DnsConformance):
    @pytest.fixture
    def plugin(self, program):
        return Exec(program=program)

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, tmp_path):
        def shown(name):
            state = tmp_path / "state"
            pairs = json.loads(state.read_text()) if state.exists() else []
            return {value for pair, value in pairs if pair == name}

        return shown

    @pytest.fixture
    def broken_plugin(self, program):
        return Exec(program=program, credential="wrong")


def call(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    task = FakeTask()
    records = [TxtRecord("a.example.com.", "v")]
    Exec(program=path, timeout=1.0).dns_add(zone="example.com.", records=records, task=task)
    return task


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        (
            "echo no such zone >&2; exit 1",
            ProviderError,
            "program add failed with status 1: no such zone",
        ),
        ("exit 3", ProviderError, "failed with status 3: it printed nothing"),
        ("echo busy >&2; exit 75", Unavailable, "busy"),
        ("exit 69", Unavailable, "status 69"),
        ("echo who are you >&2; exit 77", CredentialsRejected, "who are you"),
        ("sleep infinity", PvefwError, "did not end within 1 seconds"),
    ],
)
def test_exit_statuses(tmp_path, script, error, said):
    with pytest.raises(error, match=said):
        call(tmp_path / "program", script)


def test_what_it_prints_is_logged_and_its_input_need_not_be_read(tmp_path):
    assert call(tmp_path / "program", "echo one; echo two").lines == ["one", "two"]


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(PvefwError, match="no such program"):
        Exec(program=tmp_path / "none").dns_add(zone="x.", records=[], task=FakeTask())
    with pytest.raises(ValueError, match="is not an absolute path"):
        Exec(program=Path("relative"))

"""A maintenance stops at the first doubt, whatever that is; the hosts are a script.

With real guests: plugins/guest_libvirt/tests/test_maintenance.py.
"""

import json
from dataclasses import asdict

import pytest

from pvefw.core.errors import Locked, NotFound, ProgramError, StoreError, UsageError
from pvefw.node import maintenance
from pvefw.node.maintenance import Maintenance
from pvefw.store import locks
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

SCRIPT = """#!/bin/sh
cd '{place}'
echo "$1: $2" >>calls
{{ read -r what status said <doubt; }} 2>/dev/null
case "$2" in
    *'node status'*)
        [ -e off-$1 ] && exit 255
        boot=$(cat boot-$1 2>/dev/null | wc -l)
        guests=$(cat boot-guests 2>/dev/null || echo done)
        drained=$(cat drained-$1 2>/dev/null)
        name=$(cat name-$1 2>/dev/null || echo $1)
        cat answer-$1 2>/dev/null || printf \
            '{{"node": "%s", "boot": "b%s", "boot-guests": "%s", "drained": "%s"}}' \
            "$name" $boot "$guests" "$drained" ;;
    "$what "* | "pvefw $what "* | "pvefw node $what "* | "$what") echo "$said"; exit "$status" ;;
    *drain*) echo now >drained-$1 ;;
    *return*) rm drained-$1 ;;
    restart*) echo again >>boot-$1; exit 255 ;;
esac
exit 0
"""


class Site:
    """Hosts that a script plays."""

    def __init__(self, place):
        self.place = place
        self.paths = Paths(place / "root", "adm")
        self.rsh = place / "rsh"
        self.rsh.write_text(SCRIPT.format(place=place))
        self.rsh.chmod(0o755)
        self.task = FakeTask()

    def wanted(self, **more):
        return Maintenance(
            **{
                "command": ["upgrade"],
                "restart": "restart",
                "rsh": str(self.rsh),
                "back_seconds": 60,
                **more,
            }
        )

    def begin(self, *hosts, **more):
        maintenance.begin(self.paths, self.wanted(hosts=hosts, **more), self.task)

    def note(self, **more):
        """Leave what a killed maintenance leaves."""
        self.paths.maintenance.parent.mkdir(parents=True)
        self.paths.maintenance.write_text(json.dumps(asdict(self.wanted(**more))))

    def calls(self):
        """What was done to the hosts, questions left out."""
        lines = (self.place / "calls").read_text().splitlines()
        return [line for line in lines if "node status" not in line]

    def write(self, name, text):
        (self.place / name).write_text(text)


@pytest.fixture
def site(tmp_path, node_root):
    assert node_root.parent == tmp_path
    return Site(tmp_path)


def steps(host):
    drain, back = "pvefw node drain --spread", "pvefw node return --rsh {rsh}"
    return [f"{host}: {step}" for step in (drain, "upgrade", "pvefw boot status", "restart", back)]


def test_each_host_is_done_before_the_next_one_begins(site):
    site.begin("n1", "n2")
    assert site.calls() == [step.format(rsh=site.rsh) for step in [*steps("n1"), *steps("n2")]]
    assert maintenance.read(site.paths) is None


@pytest.mark.parametrize(
    ("doubt", "step", "said"),
    [
        ("drain 1 no-room", "drain", "no-room"),
        ("upgrade 100 broken", "command", "failed with status 100: broken"),
        ("boot 1 drift", "check", "drift"),
        ("restart 1 inhibited", "restart", "inhibited"),
        ("return 1 too-full", "return", "too-full"),
    ],
)
def test_what_fails_is_a_doubt_and_can_be_resumed(site, doubt, step, said):
    site.write("doubt", doubt)
    with pytest.raises(ProgramError) as raised:
        site.begin("n1", "n2")
    assert raised.value.message.startswith(f"node maintain: n1: {step}: ")
    assert said in raised.value.message
    assert "not begun: n2" in raised.value.hint
    found = maintenance.read(site.paths)
    assert (found.host, found.step, list(found.done)) == ("n1", step, [])
    assert not any(call.startswith("n2") for call in site.calls())
    (site.place / "doubt").unlink()
    before = len(site.calls())
    maintenance.resume(site.paths, site.task)
    at = [name for name in maintenance.STEPS if name != "wait"].index(step)
    left = [*steps("n1")[at:], *steps("n2")]
    assert site.calls()[before:] == [call.format(rsh=site.rsh) for call in left]


def test_a_host_without_esps_boots_in_its_own_way(site):
    site.write("doubt", "boot 2 none")
    site.begin("n1")
    assert any("how it boots is not checked" in line for line in site.task.lines)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("off-n2", "", "rsh failed with status 255"),
        ("drained-n2", "since May", "n2 is drained, and only one host at a time may be"),
        ("boot-guests", 'odd"', "does not report its state"),
    ],
)
def test_before_a_host_is_drained_all_are_looked_at(site, name, content, said):
    site.write(name, content)
    with pytest.raises(ProgramError) as raised:
        site.begin("n1", "n2")
    assert said in raised.value.message
    assert not (site.place / "drained-n1").exists()


def test_guests_that_do_not_start_after_the_restart_are_a_doubt(site):
    site.write("boot-guests", "failed")
    with pytest.raises(
        ProgramError, match="n1: wait: it is back, but boot-guests has failed there"
    ):
        site.begin("n1")


def test_a_host_that_does_not_go_down_is_not_back(site):
    with pytest.raises(ProgramError, match="not back within 0 s: it has not gone down yet"):
        site.begin("n1", restart="true", back_seconds=0)


def test_a_host_that_was_restarted_before_a_kill_is_not_restarted_again(site):
    site.write("drained-n1", "now")
    site.write("boot-n1", "again\n")
    site.note(hosts=["n1"], step="restart", boot="b0")
    maintenance.resume(site.paths, site.task)
    assert site.calls() == [steps("n1")[-1].format(rsh=site.rsh)]


class Killed(BaseException):
    """The program ends here; nothing of it is left but what is on the disk."""


class KilledTask(FakeTask):
    """Ends the program once it has said a number of words."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def log(self, message):
        super().log(message)
        if len(self.lines) > self.left:
            raise Killed


def test_wherever_it_is_killed_it_goes_on_and_restarts_each_host_once(site):
    """Killed again and again, each time a word later; a word is said before and after each step."""
    site.task = KilledTask(0)
    with pytest.raises(Killed):
        site.begin("n1", "n2")
    for left in range(1, 50):
        try:
            maintenance.resume(site.paths, KilledTask(left))
            break
        except Killed:
            drained = [path.name for path in site.place.glob("drained-*")]
            assert len(drained) <= 1, "two hosts at once"
            found = maintenance.read(site.paths)
            assert drained in ([], [f"drained-{found.host}"])
    assert maintenance.read(site.paths) is None
    assert [call for call in site.calls() if "restart" in call] == ["n1: restart", "n2: restart"]
    assert not [*site.place.glob("drained-*")]


@pytest.mark.parametrize("left", [4, 7, 9, 11])
def test_killed_once_anywhere_every_host_is_done(site, left):
    site.task = KilledTask(left)
    with pytest.raises(Killed):
        site.begin("n1")
    maintenance.resume(site.paths, FakeTask())
    assert site.calls()[-1] == steps("n1")[-1].format(rsh=site.rsh)
    assert [call for call in site.calls() if "restart" in call] == ["n1: restart"]


def test_a_host_that_has_its_guests_again_is_not_restarted(site):
    """Somebody brought them back while the maintenance was stopped."""
    site.write("doubt", "restart 1 inhibited")
    with pytest.raises(ProgramError, match="inhibited"):
        site.begin("n1")
    (site.place / "doubt").unlink()
    (site.place / "drained-n1").unlink()
    before = len(site.calls())
    with pytest.raises(ProgramError, match="n1: restart: it is no longer drained"):
        maintenance.resume(site.paths, site.task)
    assert site.calls()[before:] == []


def test_no_host_is_restarted_while_another_is_drained(site):
    site.write("doubt", "upgrade 1 broken")
    with pytest.raises(ProgramError):
        site.begin("n1", "n2")
    (site.place / "doubt").unlink()
    site.write("drained-n2", "by hand")
    with pytest.raises(ProgramError, match="n2 is drained, and only one host at a time may be"):
        maintenance.resume(site.paths, site.task)
    assert "n1: restart" not in site.calls()


def test_another_host_that_answers_in_its_place_is_not_it(site):
    """Its address was given to somebody else meanwhile."""
    site.write("drained-n1", "now")
    site.write("boot-n1", "again\n")
    site.write("name-n1", "n9")
    site.note(hosts=["n1"], step="wait", boot="b0", node="n1")
    with pytest.raises(ProgramError, match="n9 answers in its place, not n1"):
        maintenance.resume(site.paths, site.task)
    assert site.calls() == []


def test_two_names_of_one_host_are_not_two(site):
    site.write("name-n2", "n1")
    with pytest.raises(ProgramError, match="it is the same host as n2: n1"):
        site.begin("n1", "n2")
    assert site.calls() == []


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[]",
        "Welcome!",
        '{"node": "n1", "boot": "", "boot-guests": "done", "drained": ""}',
        '{"node": "n1", "boot": null, "boot-guests": "done", "drained": ""}',
        '{"node": "n1", "boot": "b7", "boot-guests": "perhaps", "drained": ""}',
        '{"node": "n1", "boot": "b7", "boot-guests": "done", "drained": []}',
    ],
)
def test_nonsense_after_the_restart_does_not_mean_that_a_host_is_back(site, said):
    site.write("answer-n1", said)
    site.note(hosts=["n1"], step="wait", boot="b0", node="n1", back_seconds=0)
    with pytest.raises(ProgramError, match="not back within 0 s: n1 does not report its state"):
        maintenance.resume(site.paths, site.task)


def test_one_that_is_not_done_is_resumed_or_given_up(site):
    with pytest.raises(NotFound):
        maintenance.resume(site.paths, site.task)
    site.write("doubt", "upgrade 1 broken")
    with pytest.raises(ProgramError):
        site.begin("n1")
    with pytest.raises(Locked, match=r"n1 \(1 of 1\): command: the command runs, since 2"):
        site.begin("n2")
    with locks.local_lock(site.paths, "maintenance"), pytest.raises(Locked):
        maintenance.forget(site.paths)
    maintenance.forget(site.paths)
    assert maintenance.read(site.paths) is None


def test_forgetting_and_what_is_refused_before_anything_begins(site, pvefw):
    site.note(hosts=["n1"], step="wait", since="x")
    status, out, _ = pvefw("--node", "adm", "node", "maintain", "--forget")
    assert (status, maintenance.read(site.paths)) == (0, None)
    assert out == "No maintenance is in progress now. Check each host: pvefw node status\n"
    status, _, err = pvefw("--node", "adm", "node", "maintain", "--hosts", "n1,adm", "--", "true")
    assert status == 2
    assert "node maintain: adm is this node, and would restart under the command" in err
    status, _, err = pvefw("--node", "adm", "node", "maintain", "--hosts", "n1")
    assert (status, "node maintain: it needs --hosts and a command" in err) == (2, True)


def test_where_it_is_is_said(site, pvefw):
    site.note(hosts=["n1", "n2"], done=["n1"], step="wait", since="x")
    status, out, err = pvefw("--node", "adm", "node", "status")
    assert (status, err) == (0, "")
    assert "n2 (2 of 2): wait: it has to come back and start its guests, since x" in out


@pytest.mark.parametrize("restart", ["systemctl 'reboot", " "])
def test_a_restart_that_is_no_command_line_empties_no_host(tmp_path, restart):
    site = Site(tmp_path)
    with pytest.raises(UsageError, match="--restart"):
        site.begin("a", restart=restart)
    assert not (tmp_path / "calls").exists()
    assert maintenance.read(site.paths) is None


@pytest.mark.parametrize(
    "note",
    [
        {"hosts": "n1", "command": ["upgrade"]},
        {"hosts": ["n1"], "command": "upgrade"},
        {"hosts": [1], "command": ["upgrade"]},
        {"hosts": ["n1"], "command": ["upgrade"], "done": "n1"},
        {"hosts": ["n1"], "command": ["upgrade"], "back_seconds": "soon"},
        {"hosts": ["n1"], "command": ["upgrade"], "rsh": 7},
        {"hosts": ["n1"], "command": ["upgrade"], "with_local_disks": "no"},
        {"hosts": ["n1"], "command": ["upgrade"], "step": ["drain"]},
        {"hosts": ["n1"], "command": ["upgrade"], "of-later": 1},
        {"hosts": ["n1"], "command": ["upgrade"], "step": "dance"},
        {"hosts": ["n1"], "command": ["upgrade"], "done": ["n1"]},
        {"hosts": ["n1"]},
        {},
    ],
)
def test_of_a_note_that_was_edited_nothing_is_run_that_it_does_not_say(tmp_path, note):
    site = Site(tmp_path)
    site.paths.maintenance.parent.mkdir(parents=True)
    site.paths.maintenance.write_text(json.dumps({"rsh": str(site.rsh), **note}))
    with pytest.raises(StoreError, match="is damaged") as caught:
        maintenance.resume(site.paths, site.task)
    assert "pvefw node maintain --forget" in caught.value.hint
    assert not (tmp_path / "calls").exists()
    maintenance.forget(site.paths)
    assert maintenance.read(site.paths) is None

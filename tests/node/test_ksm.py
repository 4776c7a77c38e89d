"""KSM: on the kernel itself where that can be, and on a tree of its files."""

import fcntl
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from privileges import only_root
from waiting import wait_until

from pvefw.core.errors import NotFound
from pvefw.node import ksm
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

KERNEL = Path("/sys/kernel/mm/ksm")
PAGES = 256
FIGURES = {
    "run": 1,
    "pages_shared": 10,
    "pages_sharing": 300,
    "pages_unshared": 5,
    "pages_volatile": 1,
    "ksm_zero_pages": 2,
    "full_scans": 4,
    "general_profit": 1000000,
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
}

# --- the kernel's ---------------------------------------------------------------------------------

if KERNEL.exists():
    on_the_kernel = only_root("controls KSM")
else:
    on_the_kernel = pytest.mark.skip(reason="this machine's kernel has no KSM (CONFIG_KSM)")
SHARER = f"""
import mmap, sys
memory = mmap.mmap(-1, {PAGES} * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for number in range({PAGES}):  # each page is another one, the same in every process
    memory[number * mmap.PAGESIZE : (number + 1) * mmap.PAGESIZE] = (
        f"pvefw {{number}} ".encode() * mmap.PAGESIZE
    )[: mmap.PAGESIZE]
memory.madvise(mmap.MADV_MERGEABLE)
print("ready", flush=True)
sys.stdin.read()
assert memory[:8] == b"pvefw 0 "
"""


@pytest.fixture
def kernel():
    """The kernel's KSM, quick; as it was before when the test is over. There is only one on a machine."""
    lock = os.open(KERNEL, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    before = {name: (KERNEL / name).read_text() for name in ("run", "pages_to_scan")}
    (KERNEL / "pages_to_scan").write_text("20000")
    try:
        yield Paths(Path("/"), "pve1")
    finally:
        for name, value in before.items():
            (KERNEL / name).write_text(value)
        os.close(lock)


@pytest.fixture
def sharers():
    """Two processes with equal pages that may be merged."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SHARER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in started] == ["ready\n"] * 2
        yield started
        for process in started:
            process.communicate(timeout=60)
        assert [process.returncode for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.communicate()


def merged(processes):
    """How many of their pages lie in shared ones (proc(5), ksm_merging_pages)."""
    return sum(
        int(Path(f"/proc/{process.pid}/ksm_merging_pages").read_text()) for process in processes
    )


def until(condition):
    wait_until(condition, "the kernel merges pages", seconds=120)


@on_the_kernel
def test_two_processes_share_pages_until_they_are_unmerged(kernel, sharers):
    ksm.enable(kernel, FakeTask())
    assert (KERNEL / "run").read_text() == "1\n"
    until(lambda: merged(sharers) >= 2 * PAGES)
    found = ksm.status(kernel)
    assert found["state"] == "running"
    assert found["pages-sharing"] >= PAGES
    assert found["pages-shared"] >= PAGES
    assert found["saved"] >= PAGES * mmap.PAGESIZE
    assert 0 < found["profit"] < found["saved"]

    ksm.disable(kernel, FakeTask(), unmerge=False)
    assert ksm.status(kernel)["state"] == "stopped"
    assert merged(sharers) == 2 * PAGES  # what is merged stays so

    task = FakeTask()
    ksm.disable(kernel, task, unmerge=True)
    assert merged(sharers) == 0
    found = ksm.status(kernel)
    assert (found["state"], found["saved"]) == ("unmerged", 0)
    assert [line for line in task.lines if line.startswith("No page is shared any longer; ")]


@on_the_kernel
def test_unmerge_alone_and_merging_again(kernel, sharers):
    ksm.enable(kernel, FakeTask())
    until(lambda: merged(sharers) >= 2 * PAGES)
    ksm.unmerge(kernel, FakeTask())
    assert merged(sharers) == 0
    assert (KERNEL / "run").read_text() == "2\n"
    ksm.enable(kernel, FakeTask())
    until(lambda: merged(sharers) >= 2 * PAGES)


@on_the_kernel
def test_who_is_not_root_is_told_so(kernel):
    before = (KERNEL / "run").read_text()
    code = (
        "import sys; from pvefw.node import ksm; from pvefw.store.paths import Paths\n"
        "from pathlib import Path; from pvefw.testing.fakes import FakeTask; import os\n"
        "from pvefw.core.errors import StoreError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: ksm.disable(Paths(Path('/'), 'pve1'), FakeTask(), unmerge=True)\n"
        "except StoreError as error: print(error, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "/sys/kernel/mm/ksm/run: could not write the file: Permission denied"
    )
    assert "as root" in done.stdout
    assert (KERNEL / "run").read_text() == before


# --- a tree of its files ----------------------------------------------------------------------------


@pytest.fixture
def tree(paths):
    """What the kernel shows, in files that keep what is written."""
    paths.ksm.mkdir(parents=True)
    for name, value in FIGURES.items():
        (paths.ksm / name).write_text(f"{value}\n")
    return paths


def figures(tree, **values):
    for name, value in values.items():
        (tree.ksm / name).write_text(f"{value}\n")


def test_status_in_both_forms(tree, pvefw):
    status, out, _ = pvefw("ksm", "status", "--output-format", "json")
    found = json.loads(out)
    assert status == 0
    assert found["saved"] == 302 * mmap.PAGESIZE
    assert (found["state"], found["profit"], found["services"]) == ("running", 1000000, {})
    _, out, _ = pvefw("ksm", "status")
    assert "saved            1.2 MiB" in out
    assert "side channel" in out


def test_an_old_kernel_has_fewer_figures(tree, pvefw):
    for name in ("general_profit", "ksm_zero_pages"):
        (tree.ksm / name).unlink()
    found = json.loads(pvefw("ksm", "status", "--output-format", "json")[1])
    assert (found["profit"], found["ksm-zero-pages"]) == (None, None)
    assert found["saved"] == 300 * mmap.PAGESIZE


@pytest.mark.parametrize(
    "command", [["status"], ["disable"], ["disable", "--unmerge"], ["enable"], ["unmerge"]]
)
def test_a_kernel_without_ksm(paths, pvefw, command):
    status, _, said = pvefw("ksm", *command)
    assert status == 1
    assert "sys/kernel/mm/ksm does not exist" in said
    assert "ask the host itself, without --root" in said
    assert not paths.ksm.exists()


def test_the_host_itself_says_what_its_kernel_lacks(monkeypatch):
    monkeypatch.setattr(Paths, "ksm", property(lambda _paths: Path("/sys/kernel/mm/none")))
    with pytest.raises(NotFound) as caught:
        ksm.status(Paths(Path("/"), "pve1"))
    assert "CONFIG_KSM" in caught.value.hint


@pytest.mark.parametrize(
    ("command", "run"),
    [(["disable"], 0), (["disable", "--unmerge"], 2), (["enable"], 1), (["unmerge"], 2)],
)
def test_what_is_written(tree, pvefw, command, run):
    figures(tree, run=7, pages_sharing=0, ksm_zero_pages=0)
    status, out, _ = pvefw("ksm", *command)
    assert (status, out.splitlines()[-1]) == (0, "Task OK")
    assert (tree.ksm / "run").read_text() == f"{run}\n"


def test_pages_that_stay_shared_are_an_error(tree, pvefw):
    status, _, said = pvefw("ksm", "disable", "--unmerge")
    assert status == 1
    assert "302 pages are still shared" in said


def test_a_kernel_that_does_not_listen(tree, monkeypatch):
    monkeypatch.setattr("pvefw.store.files.tell_kernel", lambda path, text: None)
    with pytest.raises(Exception, match="the kernel keeps run at 1 instead of 0"):
        ksm.disable(tree, FakeTask(), unmerge=False)


# --- the service ------------------------------------------------------------------------------------


@pytest.fixture
def installed(tree):
    """ksmtuned, installed and enabled in a tree that does not run."""
    unit = tree.below("usr/lib/systemd/system/ksmtuned.service")
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    link = tree.below("etc/systemd/system/multi-user.target.wants/ksmtuned.service")
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/ksmtuned.service")
    figures(tree, pages_sharing=0, ksm_zero_pages=0)
    return tree


def test_systemctl_keeps_the_service_of_a_tree_from_starting_and_lets_it_again(installed, pvefw):
    def services():
        return json.loads(pvefw("ksm", "status", "--output-format", "json")[1])["services"]

    assert services() == {"ksmtuned.service": {"active": "unknown", "enabled": "enabled"}}
    status, out, said = pvefw("ksm", "disable", "--unmerge")
    assert (status, said) == (0, "")
    assert "ksmtuned.service: disabled" in out
    assert services() == {"ksmtuned.service": {"active": "unknown", "enabled": "disabled"}}
    assert (installed.ksm / "run").read_text() == "2\n"
    assert pvefw("ksm", "enable")[0] == 0
    assert services() == {"ksmtuned.service": {"active": "unknown", "enabled": "enabled"}}
    assert (installed.ksm / "run").read_text() == "0\n"  # the service turns it on


def test_what_the_service_will_turn_on_is_left_to_it(running, tree, pvefw):
    figures(tree, run=0)
    status, out, _ = pvefw("ksm", "enable")
    assert status == 0 and "The service turns merging on when memory gets short" in out
    assert (tree.ksm / "run").read_text() == "0\n"


def test_a_figure_that_is_no_number_is_unknown(tree, pvefw):
    figures(tree, pages_sharing="many")
    status, out, _ = pvefw("ksm", "status", "--output-format", "json")
    assert status == 0 and json.loads(out)["pages-sharing"] is None


def test_zero_pages_below_nothing_are_no_pages(tree, pvefw):
    figures(tree, run=1, pages_sharing=3, ksm_zero_pages=-7)
    status, out, _ = pvefw("ksm", "status", "--output-format", "json")
    assert status == 0 and json.loads(out)["saved"] == 3 * json.loads(out)["page-size"]
    figures(tree, run=1, pages_sharing=0, ksm_zero_pages=-7)
    assert pvefw("ksm", "unmerge")[0] == 0


def test_where_there_is_only_ksm_service_merging_begins_at_once(tree, pvefw):
    unit = tree.below("usr/lib/systemd/system/ksm.service")
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    figures(tree, run=0, pages_sharing=0, ksm_zero_pages=0)
    status, out, _ = pvefw("ksm", "enable")
    assert status == 0
    assert (tree.ksm / "run").read_text() == "1\n"
    assert "ksm.service does so at every boot" in out
    assert "when memory gets short" not in out


SYSTEMCTL = """#!/bin/sh
# as much of systemctl as pvefw asks for, with its state in a file
state=$0.state
case $1 in
show) for one in $3; do
    read -r active enabled < "$state"
    printf 'Id=%s\\nActiveState=%s\\nUnitFileState=%s\\n\\n' "$one" "$active" "$enabled"
  done ;;
disable) [ "$2" = --now ] && echo inactive disabled > "$state" ;;
enable) [ "$2" = --now ] && echo active enabled > "$state" ;;
esac
"""


@pytest.fixture
def running(installed, tmp_path, monkeypatch):
    """The same, as if systemd ran: nothing but a program that answers as systemctl does."""
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    program.with_name("systemctl.state").write_text("active enabled\n")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("pvefw.store.units.runs_systemd", lambda paths: True)
    return program


def test_the_service_is_stopped_before_the_kernel_is_told(running, tree, pvefw):
    status, out, _ = pvefw("ksm", "disable", "--unmerge")
    assert status == 0
    assert out.index("ksmtuned.service: disabled and stopped") < out.index("KSM is unmerged")
    found = ksm.services(tree)
    assert [(service.active, service.enabled) for service in found] == [("inactive", "disabled")]
    assert pvefw("ksm", "enable")[0] == 0
    assert [(service.active, service.enabled) for service in ksm.services(tree)] == [
        ("active", "enabled")
    ]


def test_a_service_that_will_not_stop_is_an_error(running, tree, pvefw):
    running.write_text(SYSTEMCTL.replace("echo inactive disabled", "echo active disabled"))
    status, _, said = pvefw("ksm", "disable")
    assert status == 1
    assert "ksmtuned.service: it is still active and disabled" in said
    assert (tree.ksm / "run").read_text() == "1\n"


def test_unmerging_beside_a_running_service_is_a_warning(running, tree, pvefw):
    status, out, _ = pvefw("ksm", "unmerge")
    assert (status, out.splitlines()[-1]) == (0, "Task WARNINGS: 1")
    assert "ksmtuned.service runs and may merge again" in out

"""Programs of others that do not end as programs do: nobody waits for them, and why is said."""

import signal
from pathlib import Path

import pytest

from pvefw.core.errors import ProgramError
from pvefw.host import programs

STAYS = "sh -c 'echo $$; exec sleep infinity'"
MUCH = "x" * (1 << 20)
"""More than a pipe holds."""


def script(tmp_path, text, mode=0o755):
    path = tmp_path / "program"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def stays():
    """Ends the background processes whose ids it is given."""
    pids = []
    yield pids
    for pid in pids:
        arguments = programs.run(["ps", "-o", "args=", "-p", str(pid)], check=False).stdout
        if "sleep infinity" in arguments:
            programs.run(["kill", "-9", str(pid)])


@pytest.mark.parametrize(
    "start",
    [f"{STAYS} &", f"setsid {STAYS} &", f"{STAYS} 2>/dev/null &", f"{STAYS} <&0 &"],
    ids=["same group", "other session", "output only", "input too"],
)
def test_a_background_process_that_keeps_the_pipes_is_not_waited_for(start, tmp_path, stays):
    """As services that a reload command starts through ``/etc/init.d``, or ssh's ``ControlPersist``."""
    done = programs.run([script(tmp_path, f"#!/bin/sh\n{start}\n")], input=MUCH)
    stays += map(int, done.stdout.split())
    assert (done.returncode, len(stays)) == (0, 1)


def test_one_that_is_ended_leaves_a_background_process_too(tmp_path, stays):
    left = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep infinity' &"
    with pytest.raises(ProgramError, match="did not end within 2 seconds"):
        path = script(tmp_path, f"#!/bin/sh\n{left}\nexec sleep infinity\n")
        programs.run([path], input=MUCH, timeout=2)
    stays += map(int, (tmp_path / "pid").read_text().split())


def test_no_descriptor_is_left(tmp_path):
    path = script(tmp_path, "#!/bin/sh\ncat\n")
    programs.run([path])
    before = sorted(map(str, descriptors()))
    assert programs.run([path], input=MUCH).stdout == MUCH
    assert sorted(map(str, descriptors())) == before


def descriptors():
    return [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()][:-1]


@pytest.mark.parametrize(
    ("text", "mode", "why", "hint"),
    [
        ("no first line\n", 0o755, "Exec format error", "#!/bin/sh"),
        ("\x7fELF and nothing\n", 0o755, "Exec format error", "#!/bin/sh"),
        ("#!/no/such/interpreter\n", 0o755, "No such file or directory", "interpreter"),
        ("#!/bin/sh\n", 0o644, "the file is not executable", "chmod +x"),
    ],
)
def test_what_the_kernel_does_not_start_says_why(text, mode, why, hint, tmp_path):
    with pytest.raises(ProgramError) as caught:
        programs.run([script(tmp_path, text, mode)])
    assert str(tmp_path) in caught.value.message
    assert why in caught.value.message
    assert hint in caught.value.hint


def test_other_things_in_the_place_of_a_program(tmp_path):
    with pytest.raises(ProgramError, match="a directory, not a program"):
        programs.run([str(tmp_path)])
    with pytest.raises(ProgramError, match="Argument list too long"):
        programs.run(["true", "x" * (1 << 22)])
    with pytest.raises(ProgramError, match="embedded null byte"):
        programs.run(["true", "a\0b"])
    with pytest.raises(ProgramError, match="gone: No such file or directory"):
        programs.run(["true"], cwd=tmp_path / "gone")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_signal_is_named(name, tmp_path):
    number = getattr(signal, name).value
    path = script(tmp_path, f"#!/bin/sh\necho so far >&2\nkill -{number} $$\n")
    with pytest.raises(ProgramError, match=f"program was killed by {name}: so far"):
        programs.run([path])

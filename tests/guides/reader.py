"""Types what a page shows, from its top to its end, and compares what is printed with what is shown."""

import difflib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pages import typed

_MARK = "=== typed"
_CHANGING = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"UPID:(\w+):[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:", r"UPID:\1:PID:PSTART:START:"),
        (r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?", "DATE"),
        (r"\b\d+\.\d s\b", "SECONDS"),
        (r"\band \d+ more\b", "and others"),
        (r"\bsystemd-boot \d\S*", "systemd-boot VERSION"),
        (r"\bpvefw \d+\.\d+\.\d+\S*", "pvefw VERSION"),
        (r"\b\d+ of \d+ MiB", "FREE"),
        (r"\(\d+\.\d MiB\)", "(SIZE)"),
        (r"\b[0-9a-f]{40}\b", "DIGEST"),
        (r"\b[0-9A-F]{2}(:[0-9A-F]{2}){31}\b", "FINGERPRINT"),
        (r"^(pid|pstart|starttime|endtime)( +)\d+$", r"\1\2NUMBER"),
    )
]


@dataclass
class Reader:
    """Somebody who types what a page shows, in a tree and a folder of their own."""

    page: Path
    place: Path
    env: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    """The command that runs the shell: a namespace, perhaps."""
    prepared: str = ""
    """What the shell does before anything is typed."""
    meanwhile: list[tuple[str, str | Callable[[], object]]] = field(default_factory=list)
    """What happens before a command, in order: how it begins, and shell commands or a call."""
    called: dict[str, str] = field(default_factory=dict)
    """Paths of this place, and what the page calls them."""
    leaves_out: dict[str, str] = field(default_factory=dict)
    """What is not typed, by how it begins, and why."""
    any_order: tuple[str, ...] = ()
    """Commands of several things at once: their lines may change places."""
    fails: tuple[str, ...] = ()
    """Commands that end with a status other than 0 although they print no error."""
    _calls: list = field(default_factory=list)

    def read(self) -> None:
        """Type all of it, in one shell.

        :raises AssertionError: a command printed something else, or ended otherwise.
        """
        commands = list(typed(self.page))
        unknown = [
            command
            for command in self.leaves_out
            if not any(c.command.startswith(command) for c in commands)
        ]
        assert unknown == [], "these are not in the page"
        chosen = [
            command
            for command in commands
            if not command.command.startswith(tuple(self.leaves_out))
        ]
        assert chosen, "nothing is typed"
        said = self._type([command.command for command in chosen])
        wrong = [
            f"{command}: status {status}\n{difference or output}"
            for command, (output, status) in zip(chosen, said, strict=True)
            if (difference := self._differences(command, output))
            or (status != 0) is not self._fails(command)
        ]
        assert not wrong, "\n".join(wrong)

    def _differences(self, command, output):
        if command.output is None:
            return ""
        shown, printed = comparable(command.output), comparable(output)
        if command.command.startswith(self.any_order or ("\0",)):
            shown, printed = sorted(shown), sorted(printed)
        return differences(shown, printed)

    def _fails(self, command) -> bool:
        error = re.search(r"^(pvefw: |Task ERROR)", command.output or "", re.MULTILINE)
        return bool(error) or command.command.startswith(self.fails or ("\0",))

    def _step(self, step):
        """Shell commands for something that happens: a call is made by us when the shell gets there."""
        if isinstance(step, str):
            return step
        asked, done = (self.place / f"{len(self._calls)}.{name}" for name in ("asked", "done"))
        self._calls.append((asked, done, step))
        return f"touch {asked}; until test -e {done}; do sleep 0.02; done"

    def _answer(self, over):
        """Make the calls that the shell asks for, until it is over."""
        waiting = list(self._calls)
        while waiting and not over.wait(0.02):
            asked, done, call = waiting[0]
            if asked.exists():
                try:
                    call()
                finally:
                    done.touch()  # also when it failed, or the shell would wait for ever
                del waiting[0]

    def _type(self, commands):
        """What each command printed, and how it ended."""
        script, meanwhile = [f"{{ {self.prepared or ':'}\n}} >&2"], list(self.meanwhile)
        for command in commands:
            if meanwhile and command.startswith(meanwhile[0][0]):
                script.append(f"{{ {self._step(meanwhile.pop(0)[1])}\n}} >&2")
            script.append(f"{{ {command}\n}} 2>&1 < /dev/null\nprintf '\\n%s %s\\n' '{_MARK}' $?")
        assert meanwhile == [], "these are not typed"
        folder = self.place / "folder"
        for place in (folder, self.place / "root"):
            place.mkdir(exist_ok=True)
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PVEFW")},
            "PATH": f"{self.place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PVEFW_ROOT": str(self.place / "root"),
            "PVEFW_NODE": "pve1",
            **self.env,
        }
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            calls = pool.submit(self._answer, over)
            try:
                done = subprocess.run(
                    [*self.before, "bash", "-c", "\n".join(script)],
                    cwd=folder,
                    env=env,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
            finally:
                over.set()
        calls.result()
        found = re.findall(rf"(.*?)\n{_MARK} (\d+)\n", done.stdout, re.DOTALL)
        assert len(found) == len(commands), done.stdout + done.stderr
        return [(self._as_called(output), int(status)) for output, status in found]

    def _as_called(self, output):
        for path, name in {str(self.place / "root"): "", **self.called}.items():
            output = output.replace(path, name)
        return output


def differences(shown: list[str], printed: list[str]) -> str:
    """How lines differ from those that a page shows; in these, ``…`` is anything."""
    parts = re.split("(…)", "\n".join(shown))
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in parts)
    if re.fullmatch(pattern, "\n".join(printed), re.DOTALL):
        return ""
    return "\n".join(difflib.unified_diff(shown, printed, "shown", "printed", lineterm=""))


def comparable(output: str) -> list[str]:
    """The lines of an output without what changes from one time to the next."""
    for changing, replacement in _CHANGING:
        output = changing.sub(replacement, output)
    return [re.sub(r" {2,}", "  ", line).rstrip() for line in output.strip("\n").splitlines()]

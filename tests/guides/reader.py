"""Types what a page shows, from its top to its end, and compares what is printed with what is shown."""

import difflib
import os
import re
import subprocess
import sys
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
    meanwhile: dict[str, str] = field(default_factory=dict)
    """What has happened before a command: how it begins, and shell commands; each of them once."""
    leaves_out: dict[str, str] = field(default_factory=dict)
    """What is not typed, by how it begins, and why."""
    fails: tuple[str, ...] = ()
    """Commands that end with a status other than 0 although they print no error."""

    def read(self) -> None:
        """Type all of it, in one shell.

        :raises AssertionError: a command printed something else, or ended otherwise.
        """
        commands = list(typed(self.page))
        unknown = [
            one for one in self.leaves_out if not any(c.command.startswith(one) for c in commands)
        ]
        assert unknown == [], "these are not in the page"
        chosen = [one for one in commands if not one.command.startswith(tuple(self.leaves_out))]
        assert chosen, "nothing is typed"
        said = self._type([one.command for one in chosen])
        wrong = [
            f"{one}: status {status}\n{difference or output}"
            for one, (output, status) in zip(chosen, said, strict=True)
            if (difference := differences(one.output, output))
            or (status != 0) is not self._fails(one)
        ]
        assert not wrong, "\n".join(wrong)

    def _fails(self, one) -> bool:
        error = re.search(r"^(pvefw: |Task ERROR)", one.output or "", re.MULTILINE)
        return bool(error) or one.command.startswith(self.fails or ("\0",))

    def _type(self, commands):
        """What each command printed, and how it ended."""
        script, meanwhile = [f"{{ {self.prepared or ':'}\n}} >&2"], dict(self.meanwhile)
        for one in commands:
            begins = next((each for each in meanwhile if one.startswith(each)), None)
            if begins:
                script.append(f"{{ {meanwhile.pop(begins)}\n}} >&2")
            script.append(f"{{ {one}\n}} 2>&1 < /dev/null\nprintf '\\n%s %s\\n' '{_MARK}' $?")
        assert meanwhile == {}, "these are not typed"
        folder = self.place / "folder"
        for one in (folder, self.place / "root"):
            one.mkdir(exist_ok=True)
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PVEFW")},
            "PATH": f"{self.place / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PVEFW_ROOT": str(self.place / "root"),
            "PVEFW_NODE": "pve1",
            **self.env,
        }
        done = subprocess.run(
            [*self.before, "bash", "-c", "\n".join(script)],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        found = re.findall(rf"(.*?)\n{_MARK} (\d+)\n", done.stdout, re.DOTALL)
        assert len(found) == len(commands), done.stdout + done.stderr
        root = str(self.place / "root")
        return [(output.replace(root, ""), int(status)) for output, status in found]


def differences(shown: str | None, printed: str) -> str:
    """How an output differs from what a page shows, but for times and ids; ``…`` is anything."""
    if shown is None:
        return ""
    wanted, got = _comparable(shown), _comparable(printed)
    pattern = "".join(
        ".*" if part == "…" else re.escape(part) for part in re.split("(…)", "\n".join(wanted))
    )
    if re.fullmatch(pattern, "\n".join(got), re.DOTALL):
        return ""
    return "\n".join(difflib.unified_diff(wanted, got, "shown", "printed", lineterm=""))


def _comparable(output: str) -> list[str]:
    for changing, replacement in _CHANGING:
        output = changing.sub(replacement, output)
    return [re.sub(r" {2,}", "  ", line).rstrip() for line in output.strip("\n").splitlines()]

"""Run the tests that need no virtual machine on other days, at other places, from other shells and users.

    python3 tools/anywhere.py [OPTION...]            under all conditions, one after the other: for hours
    python3 tools/anywhere.py CONDITION [OPTION...]  under one of them
    python3 tools/anywhere.py --list

The options are pytest's; with ``--stage quick`` all conditions take half an hour. They are in one table,
:data:`CONDITIONS`. The clock is shifted for the tests and for what they start.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBFAKETIME = "/usr/$LIB/faketime/libfaketimeMT.so.1"
"""The dynamic linker knows what ``$LIB`` is on this architecture."""
NOBODY = 65534
SELECTION = ["-m", "not machine and not night", "--ignore", "tests/machines"]


@dataclass(frozen=True)
class Condition:
    """What is other than usual."""

    what: str
    env: Mapping[str, str | None] = field(default_factory=dict)
    """Variables; ``None`` for one that is not set. ``{scratch}`` is a folder for this run."""
    clock: timedelta | datetime | None = None
    """How far the clock is ahead, or what it shows when the tests begin."""
    umask: int = -1
    ignored: tuple[signal.Signals, ...] = ()
    user: int | None = None
    """The user id, where it matters; the tests run as root's or as nobody's, else as the caller's."""


_NO_OTHER_LOCALE = {"LC_ALL": None, "LC_CTYPE": None}
"""Python sets ``LC_CTYPE`` for its children where the caller's locale is not installed (PEP 538)."""
CONDITIONS = {
    "days-1": Condition("the clock is a day ahead", clock=timedelta(days=1)),
    "days-60": Condition("the clock is 60 days ahead", clock=timedelta(days=60)),
    "days-400": Condition("the clock is 400 days ahead", clock=timedelta(days=400)),
    "days-1200": Condition("the clock is 1200 days ahead", clock=timedelta(days=1200)),
    "leap-day": Condition("it is 29 February 2028", clock=datetime(2028, 2, 29, 12, tzinfo=UTC)),
    "spring": Condition(
        "daylight saving time begins 90 seconds after the tests",
        {"TZ": "Europe/Berlin"},
        clock=datetime(2027, 3, 28, 0, 58, 30, tzinfo=UTC),
    ),
    "autumn": Condition(
        "daylight saving time ends 90 seconds after the tests have begun",
        {"TZ": "Europe/Berlin"},
        clock=datetime(2027, 10, 31, 0, 58, 30, tzinfo=UTC),
    ),
    "kiritimati": Condition("it is 14 hours later than UTC", {"TZ": "Pacific/Kiritimati"}),
    "st-johns": Condition("it is a half-hour off, west of UTC", {"TZ": "America/St_Johns"}),
    "no-lang": Condition("no locale is set", {"LANG": None, **_NO_OTHER_LOCALE}),
    "lang-c": Condition("the locale is C", {"LANG": "C", **_NO_OTHER_LOCALE}),
    "lang-de": Condition(
        "the locale is German",
        {
            "LANG": "de_DE.UTF-8",
            "LANGUAGE": "de",
            "LOCPATH": "{scratch}",
            **_NO_OTHER_LOCALE,
        },
    ),
    "no-home": Condition("HOME is not set", {"HOME": None}),
    "umask-077": Condition("new files are private", umask=0o077),
    "umask-027": Condition("new files are for the group", umask=0o027),
    "background": Condition(
        "SIGINT and SIGPIPE are ignored, as below a script that runs the tests in the background",
        ignored=(signal.SIGINT, signal.SIGPIPE),
    ),
    "no-lists": Condition("apt has no package lists", {"APT_CONFIG": "{scratch}/apt.conf"}),
    "root": Condition("the tests run as root", user=0),
    "user": Condition("the tests run as an ordinary user", {"HOME": "{scratch}"}, user=NOBODY),
}


def run(name: str, options: list[str]) -> int:
    """Run the tests under one condition.

    :returns: pytest's exit status; 0 where the condition cannot be made here, which is said.
    """
    condition = CONDITIONS[name]
    print(f"--- {name}: {condition.what} ---", flush=True)
    problem = impossible(condition)
    if problem:
        print(f"Not tried: {problem}")
        return 0
    with tempfile.TemporaryDirectory(prefix="pvefw-anywhere-") as folder:
        prepare(name, Path(folder))
        Path(folder).chmod(0o755)  # some tests become nobody
        if condition.user:
            os.chown(folder, condition.user, condition.user)
        for number in condition.ignored:
            signal.signal(number, signal.SIG_IGN)
        user = condition.user or None
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "auto"]
        done = subprocess.run(
            [*pytest, "--dist", "loadgroup", *SELECTION, *options],
            cwd=ROOT,
            env=environment(condition, folder),
            umask=condition.umask,
            restore_signals=not condition.ignored,  # Python ignores SIGPIPE for itself
            user=user,
            group=user,
            extra_groups=[] if user else None,
            check=False,
        )
        for number in condition.ignored:
            signal.signal(number, signal.SIG_DFL)
    return done.returncode


def impossible(condition: Condition) -> str | None:
    """Why a condition cannot be made here."""
    if condition.user is not None and condition.user != os.geteuid():
        if os.geteuid() != 0:
            return "only root can become somebody else"
        if any(not parent.stat().st_mode & 0o001 for parent in ROOT.parents):
            return f"an ordinary user cannot read {ROOT}: clone it to another place"
    if "LOCPATH" in condition.env and not Path("/usr/share/i18n/locales/de_DE").exists():
        return "locales is not installed"
    if condition.clock and not list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        return "libfaketime is not installed"
    return None


def prepare(name: str, folder: Path) -> None:
    """Make what a condition names in its folder."""
    if name == "lang-de":
        command = ["localedef", "--no-archive", "-i", "de_DE", "-f", "UTF-8"]
        subprocess.run([*command, str(folder / "de_DE.UTF-8")], check=True)
    if name == "no-lists":
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        cache = (
            f'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\nDir::State::lists "{lists}/";\n'
        )
        (folder / "apt.conf").write_text(f'{cache}APT::Sandbox::User "root";\n')


def environment(condition: Condition, folder: str) -> dict[str, str]:
    """The environment of the tests."""
    # the checkout may be somebody else's
    own = {"HYPOTHESIS_STORAGE_DIRECTORY": f"{folder}/examples", "PYTHONDONTWRITEBYTECODE": "1"}
    changed: dict[str, str | None] = {"TMPDIR": folder, **own, **condition.env}
    clock = condition.clock
    if clock:
        ahead = clock - datetime.now(UTC) if isinstance(clock, datetime) else clock
        changed |= {
            "LD_PRELOAD": LIBFAKETIME,
            "FAKETIME": f"{ahead.total_seconds():+.0f}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # it would shift the times of some calls' files only
            "PYTHONPATH": str(ROOT / "tools/shifted_clock"),
        }
    variables = {**os.environ, **changed}
    return {
        key: value.replace("{scratch}", folder)
        for key, value in variables.items()
        if value is not None
    }


def main(arguments: list[str]) -> int:
    """Run the tests under the conditions that are asked for.

    :returns: 0 where all passed, 2 for wrong use, else 1.
    """
    first = arguments[:1]
    if first == ["--list"]:
        for name, condition in CONDITIONS.items():
            print(f"{name:12} {condition.what}")
        return 0
    everywhere = not first or first[0].startswith("-")
    names, options = (list(CONDITIONS), arguments) if everywhere else (first, arguments[1:])
    if names[0] not in CONDITIONS:
        print(f"There is no condition {names[0]}. There are: {', '.join(CONDITIONS)}")
        return 2
    failed = [name for name in names if run(name, options) != 0]
    print(f"Failed: {', '.join(failed)}" if failed else f"Passed: {', '.join(names)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

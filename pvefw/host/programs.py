"""Programs: run one to its end, in a sandbox where it is not trusted.

Nothing else in pvefw starts a program, so tests can stand in for it.
"""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic
from typing import IO

from pvefw.core.errors import ProgramError
from pvefw.host import confinement, foreign, leftovers

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LAST_WORDS = 3
_LARGEST_OUTPUT = 8 << 20
_CHUNK = 1 << 16
_SYSTEMD = Path("/run/systemd/system")
"""It is there where systemd runs (``sd_booted(3)``)."""
ANNOUNCEMENT = "PVEFW_ANNOUNCEMENT"
"""The environment's name for the descriptor to which a task that goes on apart writes its id."""
_LEFT_BEHIND = 1.0
"""Seconds that a background process of a program may hold its output open."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended."""

    argv: Sequence[str]
    returncode: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """The last lines that it said, on one line, for an error message."""
        output = self.stderr if self.stderr.strip() else self.stdout
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return " / ".join(lines[-_LAST_WORDS:]) or "it printed nothing"

    @property
    def failure(self) -> str:
        """How it failed, for an error message that begins with its name. Since 1.1."""
        if self.returncode < 0:
            number = -self.returncode
            names = {member.value: member.name for member in signal.Signals}
            return f"was killed by {names.get(number, f'signal {number}')}: {self.last_words}"
        return f"failed with status {self.returncode}: {self.last_words}"


def clean_environment() -> dict[str, str]:
    """The environment that programs get: a path, a locale, a home; nothing of pvefw's own."""
    return {
        "PATH": os.environ.get("PATH", _PATH),
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
    }


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How to run a program that we do not trust: alone, with no way to become somebody.

    With bubblewrap it sees nothing of other processes, of ``/etc/pve`` and of other programs' temporary
    files, writes to private directories only, and ends with pvefw. Where we are root it gets a user id
    that nobody else has. It never gains privileges (``PR_SET_NO_NEW_PRIVS``), and it has limits.
    Where :meth:`obstacle` says why there can be no such place, only the user id and the limits are left.
    """

    workdir: Path | None = None
    """Its home and directory for temporary files, given to it if it is private (0700) and ours; without
    one it has a private one that goes with it."""
    user: str = ""
    """Who it becomes where we are root; empty for a user id of its own."""
    processes: int = 64
    file_size: int = 16 << 20
    """Bytes of the largest file that it may write."""
    memory: int = 2 << 30
    """Bytes of address space, for each process."""
    cpu: int = 120
    """Seconds of computing, for each process."""
    disk: int = 64 << 20
    """Bytes that it may write to each of its private directories; since 1.1."""

    @staticmethod
    def obstacle() -> str:
        """Why a program cannot be kept apart on this host; empty where it can. Since 1.1."""
        if shutil.which("bwrap") is None:
            return "bubblewrap is not installed"
        return _refusal()

    def wrap(self, argv: Sequence[str], user: str, home: Path | None) -> list[str]:
        """The command line that runs ``argv`` so.

        :param user: who it becomes; empty where we are not root.
        :param home: the directory that it gets of those that are there.
        """
        privileges = ["setpriv", "--no-new-privs"]
        if user:
            group = user if user.isdecimal() else "nogroup"
            privileges += ["--reuid", user, "--regid", group, "--clear-groups"]
            privileges += ["--inh-caps=-all", "--bounding-set=-all"]
        limits = [
            *["prlimit", f"--nproc={self.processes}", f"--fsize={self.file_size}"],
            *[f"--as={self.memory}", f"--cpu={self.cpu}", "--core=0"],
        ]
        inner = [*privileges, "--", *limits, "--", *argv]
        if not self.obstacle():
            return confinement.command(inner, home, self.disk)
        apart = ["unshare", "--pid", "--fork", "--kill-child"]
        return [*(apart if user and _has_namespaces() else []), *inner]

    @contextlib.contextmanager
    def prepared(self, argv: Sequence[str]) -> Iterator[tuple[list[str], Path]]:
        """The command line for one run, and its home."""
        user = (self.user or str(confinement.own_id())) if os.geteuid() == 0 else ""
        with contextlib.ExitStack() as stack:
            home = self.workdir if self.workdir != Path("/") else None  # nobody is given all of it
            if home is None and self.obstacle():
                home = stack.enter_context(leftovers.directory())
            if home is not None and user.isdecimal():
                user = _given(home, user)
            yield self.wrap(argv, user, home), home or Path(confinement.HOME)


def _given(home: Path, user: str) -> str:
    """Let a program write to its home.

    Only a private directory of ours is given away. One that has an owner already keeps it, and the
    program runs as that user; any other one it can only read.

    :returns: the user id that the program runs with.
    """
    with foreign.directory(home) as there, there.readable() as descriptor:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            return str(status.st_uid)
        if not status.st_mode & 0o077:
            os.fchown(descriptor, int(user), int(user))
    return user


@cache
def _refusal() -> str:
    """Why bubblewrap does not work here: in some containers and with some settings nobody may use it."""
    inner = ["setpriv", "--reuid", str(confinement.own_id()), "true"]
    trial = confinement.command(inner if os.geteuid() == 0 else ["true"], None, 1 << 20)
    try:
        run(trial, timeout=10.0)
    except ProgramError as error:
        return f"namespaces are not allowed here: {error.message}"
    return ""


@cache
def _has_namespaces() -> bool:
    """Whether a PID namespace can be made here: some containers do not let even root do it."""
    try:
        run(["unshare", "--pid", "--fork", "--kill-child", "true"], timeout=10.0)
    except ProgramError:
        return False
    return True


def run(
    argv: Sequence[str],
    *,
    input: str | None = None,  # noqa: A002 - subprocess calls it so
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
    check: bool = True,
    sandbox: Sandbox | None = None,
) -> Completed:
    """Run a program to its end, without a shell, in a process group of its own.

    :param argv: the program, found on the path, and its arguments; never a secret: all can see it.
    :param input: text for standard input; empty without it.
    :param env: added to :func:`clean_environment`.
    :param timeout: seconds; then the whole group is killed.
    :param check: raise when the exit status is not 0.
    :param sandbox: for a program that we do not trust.
    :raises ProgramError: the program is missing, failed (with its last words), took too long, or said
        more than eight megabytes.
    """
    if not argv or shutil.which(argv[0]) is None:
        raise _missing(argv[0] if argv else "an empty command")
    surroundings = {**clean_environment(), **(env or {})}
    with contextlib.ExitStack() as stack:
        command = list(argv)
        if sandbox:
            command, home = stack.enter_context(sandbox.prepared(argv))
            surroundings |= {"PATH": _PATH, "HOME": str(home), "TMPDIR": str(home)}
            cwd = home
        output, process = _completed(command, input or "", surroundings, cwd, timeout, sandbox)
    if output.too_much:
        raise ProgramError(f"{argv[0]} printed more than {_LARGEST_OUTPUT} bytes and was stopped")
    if output.late:
        raise ProgramError(f"{argv[0]} did not end within {timeout:g} seconds")
    done = Completed(tuple(argv), process.returncode, *output.texts())
    if check and done.returncode != 0:
        raise ProgramError(f"{argv[0]} {done.failure}")
    return done


def _missing(program: str) -> ProgramError:
    """Why a name is not that of a program."""
    if "/" in program and Path(program).is_dir():
        return ProgramError(f"{program}: this is a directory, not a program")
    if "/" in program and Path(program).exists():
        return ProgramError(
            f"{program}: the file is not executable", hint=f"Run: chmod +x {program}"
        )
    return ProgramError(f"{program}: no such program")


def _completed(
    command: Sequence[str],
    given: str,
    env: Mapping[str, str],
    cwd: Path | None,
    timeout: float,
    sandbox: Sandbox | None,
) -> "tuple[_Output, subprocess.Popen[bytes]]":
    """A process that ended or was ended, and what it said."""
    process = _started(command, env, cwd)
    output = _Output(process, given.encode())
    try:
        output.wait(timeout)
    finally:
        if process.poll() is None or sandbox:
            _kill_group(process)
        output.close()
    return output, process


def _started(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None
) -> "subprocess.Popen[bytes]":
    """A process that has just been started.

    :raises ProgramError: the kernel does not run it: it has no right beginning, or too many arguments.
    """
    try:
        return subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        if cwd is not None and str(error.filename) == str(cwd):
            raise ProgramError(f"{command[0]}: its directory {cwd}: {error.strerror}") from error
        raise ProgramError(
            f"{command[0]}: could not start the program: {error.strerror}",
            hint=_NOT_STARTED.get(error.errno or 0, ""),
        ) from error
    except ValueError as error:  # a zero byte
        raise ProgramError(f"{command[0]}: could not start the program: {error}") from error


_NOT_STARTED = {
    errno.ENOEXEC: "A script begins with its interpreter: #!/bin/sh",
    errno.ENOENT: "The interpreter in its first line (#!) does not exist on this host.",
    errno.EACCES: "Its file system may be mounted noexec, or the interpreter is not executable.",
}


def start_pvefw(*arguments: str) -> None:
    """Start a pvefw command that goes on by itself: it has no terminal, and nobody waits for it.

    :raises ProgramError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "pvefw", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramError(f"pvefw: could not start the program: {error.strerror}") from error
    process.returncode = 0  # it is meant to outlive us: no warning that it was left alone


def start_apart(arguments: Sequence[str], announcement: int) -> subprocess.Popen[bytes]:
    """Start a pvefw command that has our terminal and surroundings until it leaves them.

    Where systemd runs, it gets a unit of its own (a scope): it is not ended with our session, service or
    web page, and limits can be set for it.

    :param arguments: its command line.
    :param announcement: a descriptor that it gets, too; :data:`ANNOUNCEMENT` says which.
    :raises ProgramError: it cannot be started.
    """
    unit: list[str] = []
    if os.geteuid() == 0 and _SYSTEMD.is_dir() and shutil.which("systemd-run"):
        name = f"pvefw-task-{os.urandom(4).hex()}"
        unit = ["systemd-run", "--scope", "--collect", "--quiet", f"--unit={name}", "--"]
    try:
        return subprocess.Popen(
            [*unit, sys.executable, "-m", "pvefw", *arguments],
            env={**os.environ, ANNOUNCEMENT: str(announcement)},
            pass_fds=[announcement],
        )
    except OSError as error:
        raise ProgramError(f"pvefw: could not start the program: {error.strerror}") from error


class _Output:
    """Feeds a process and keeps what it says, within bounds that ``communicate()`` does not have.

    A background process that it leaves may hold its pipes open for years. So no thread blocks in them:
    who waits for a pipe waits for the end of all, too.
    """

    def __init__(self, process: subprocess.Popen[bytes], given: bytes) -> None:
        self._process = process
        self._said = (bytearray(), bytearray())
        self.too_much = False
        self.late = False
        self._over, self._keeps_on = os.pipe()
        """The first has something to read as soon as the second is closed."""
        readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in zip((process.stdout, process.stderr), self._said, strict=True)
        ]
        self._threads = [*readers, threading.Thread(target=self._feed, args=[given], daemon=True)]
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> None:
        """Until the process ends, or must be ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.late = not self.too_much

    def close(self) -> None:
        """Take in what is left. What holds the pipes open after the process is not waited for."""
        end = monotonic() + _LEFT_BEHIND
        for thread in self._threads:
            thread.join(max(end - monotonic(), 0.0))
        os.close(self._keeps_on)
        for thread in self._threads:
            thread.join()
        os.close(self._over)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def texts(self) -> tuple[str, str]:
        """Standard output and standard error."""
        out, err = (bytes(stream).decode(errors="replace") for stream in self._said)
        return out, err

    def _goes_on(self, descriptor: int, event: int) -> bool:
        """Whether a pipe is ready, once it is; not when all is over."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._over, select.POLLIN)
        return self._over not in dict(poll.poll())

    def _feed(self, given: bytes) -> None:
        with contextlib.suppress(OSError), self._process.stdin as pipe:  # type: ignore[union-attr]  # a pipe
            os.set_blocking(pipe.fileno(), False)
            rest = memoryview(given)
            while rest and self._goes_on(pipe.fileno(), select.POLLOUT):
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(pipe.fileno(), rest) :]

    def _read(self, pipe: IO[bytes], output: bytearray) -> None:
        with contextlib.suppress(OSError):
            while self._goes_on(pipe.fileno(), select.POLLIN) and (
                chunk := os.read(pipe.fileno(), _CHUNK)
            ):
                output += chunk
                if len(output) > _LARGEST_OUTPUT:
                    self.too_much = True
                    _kill_group(self._process)
                    return


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""The part of the boot-loader kit that looks at order, clocks, long texts, old files and half-done work.

:class:`pvefw.testing.boot.BootloaderConformance` inherits it.
"""

import contextlib
import datetime as dt
import errno
import functools
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pvefw.api import BootPlan, ProviderError, Unsupported
from pvefw.seam import BootloaderSpec, Bound, PvefwError
from pvefw.testing._saying import explained
from pvefw.testing.boot_machine import MIDDLE, NEW, OLD, Machine, complete
from pvefw.testing.fakes import FakeTask

_DAY = dt.timedelta(days=1)
_LONGEST_COMMAND_LINE = 2000
"""Characters; kernels take 2048 on x86."""
_LENGTHS = (250, 500, 1000, 2000)
_LONG_NAME = "6.8.12-4-pve-of-a-branch-whose-name-takes-all-of-64-characters-"
"""63 characters; what ``uname -r`` says has 64 at most."""
_MANY = tuple(f"6.8.{minor}-1-pve" for minor in range(1, 13))
"""Enough for a set not to have their order, with some that sort otherwise as texts."""
_HOST = tuple(map(Path, ("/boot", "/efi", "/etc", "/var", "/proc/cmdline", "/proc/version")))
"""What is of a host, and what neither Python nor core reads by itself."""
_TEMPORARY = (".tmp", ".temp", ".new", ".part", ".bak", ".swp", "~")
"""How names of temporary files end."""
_OF_ANOTHER = b"another loader, of somebody else\n"
_WHERE_ANOTHER_IS = ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTAA64.EFI", "EFI/BOOT/grubx64.efi")


class BootCare:
    """What a careless loader does not do. Each failure says in one sentence what is wrong."""

    def arguments(self, plan: BootPlan) -> str:
        """What kernels must be given."""
        raise NotImplementedError

    def test_rendering_needs_no_clock(self, plugin: object, machine: Machine) -> None:
        """A day later the same arguments give the same tree."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        today = machine.render(plan)
        with _a_day_later(plugin):
            tomorrow = machine.render(plan)
        assert today == tomorrow, (
            "boot_render gives another tree a day later: leave date and time out of it, or each "
            "refresh writes every ESP again"
        )

    def test_rendering_needs_nothing_of_the_process(
        self, plugin: object, machine: Machine, tmp_path: Path
    ) -> None:
        """Another one, in another language and folder, under another kernel, gives the same tree."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        here = machine.render(plan)
        with _elsewhere(plugin, tmp_path):
            there = machine.render(plan)
        assert here == there, (
            "boot_render gives another tree in another process: the plan alone decides, so leave out the "
            "process, its folder and environment, the host's name and the kernel that runs, or each "
            "refresh writes every ESP again"
        )

    def test_rendering_reads_below_the_root(self, machine: Machine) -> None:
        """The host's files are below ``plan.root``: those of ``/`` may be another system's."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        with _reading(machine.host) as read, contextlib.suppress(ProviderError):
            machine.render(plan)
        assert not read, (
            f"boot_render reads {read[0]}: the host's own files are below plan.root, so read "
            f"plan.root / {read[0].lstrip('/')!r}"
        )

    def test_a_long_menu_boots(self, machine: Machine) -> None:
        """Many kernels, whichever is the default; where it is gone, the latest one that is there."""
        try:
            tree = machine.bring(machine.plan(*_MANY, default=_MANY[0]))
        except ProviderError:
            return
        except PvefwError as error:
            raise AssertionError(
                f"a plan has {len(_MANY)} kernels, and the plugin fails ({error}): render them all, or "
                "raise a ProviderError"
            ) from error
        machine.check_start(
            _MANY[0], f"the plan has {len(_MANY)} kernels, the default is {_MANY[0]}"
        )
        left = list(_MANY[1:])
        while left:
            rest = machine.render(machine.plan(*left))
            for path in {*tree.copies, *tree.texts} - {*rest.copies, *rest.texts}:
                (machine.esp.mountpoint / path).unlink(missing_ok=True)
            seen = complete(machine.esp.mountpoint, machine.boots(machine.esp.mountpoint))
            assert seen in ("", left[-1]), (
                f"of {len(_MANY)} kernels those from {left[0]} to {left[-1]} are left, and {seen} boots: "
                "write the menu in the order of plan.kernels, which neither a set nor sorted() keeps"
            )
            left.pop()

    def test_the_menu_has_the_order_of_the_plan(self, machine: Machine) -> None:
        """The latest kernel first; where the default's entry is gone, the first one boots."""
        for gone, latest in ((OLD, NEW), (MIDDLE, NEW), (NEW, MIDDLE)):
            tree = machine.bring(machine.plan(OLD, MIDDLE, NEW, default=gone))
            left = [version for version in (OLD, MIDDLE, NEW) if version != gone]
            others = machine.render(machine.plan(*left))
            for path in {*tree.copies, *tree.texts} - {*others.copies, *others.texts}:
                (machine.esp.mountpoint / path).unlink(missing_ok=True)
            seen = complete(machine.esp.mountpoint, machine.boots(machine.esp.mountpoint))
            assert seen in ("", latest), (
                f"the default {gone} is gone from the ESP, and {seen} boots instead of the latest "
                f"kernel, {latest}: write the menu in the order of plan.kernels"
            )
        _check_order(machine)

    def test_a_long_command_line_arrives(self, machine: Machine) -> None:
        """Whole, or it is refused: a part of it may lack the root file system."""
        words = "root=ZFS=rpool/ROOT/pve-1 " + "".join(f"a{n}=b " for n in range(500))
        cmdline = f"{words[: _LONGEST_COMMAND_LINE - len(' last=1')]} last=1"
        plan = replace(machine.plan(MIDDLE, NEW), cmdline=cmdline)
        try:
            machine.bring(plan)
        except ProviderError:
            return
        machine.check_start(NEW, f"the command line has {len(cmdline)} characters")
        assert self.arguments(plan) in machine.last.cmdline, (
            f"of a command line with {len(self.arguments(plan))} characters the kernel gets "
            f"{len(machine.last.cmdline)}: write it as a whole, or raise a ProviderError"
        )

    @pytest.mark.parametrize("grows", ["%", "$", "\\", '"', "'", "ö"])
    def test_what_grows_when_it_is_quoted_arrives(self, grows: str, machine: Machine) -> None:
        """Whole, or it is refused: a loader's longest line is that of what is written there."""
        for length in _LENGTHS:
            words = f"root=/dev/vda1 {f'a={grows}{grows} ' * length}"[: length - len(" last=1")]
            if words.count(grows) % 2:
                words += grows  # in a pair
            plan = replace(machine.plan(MIDDLE, NEW), cmdline=f"{words} last=1")
            try:
                machine.bring(plan)
            except ProviderError:
                continue
            machine.check_start(
                NEW, f"the command line has {length} characters, many of them {grows}"
            )
            assert self.arguments(plan) in machine.last.cmdline, (
                f"of a command line with {length} characters, many of them {grows}, the kernel gets "
                f"{len(machine.last.cmdline)}: look at the bytes of what you write, after quoting"
            )

    def test_versions_that_differ_at_their_end_boot(self, machine: Machine) -> None:
        """Or they are refused: a loader that cuts long names takes the one for the other."""
        versions = [f"{_LONG_NAME}{letter}" for letter in "ab"]
        for default in versions:
            try:
                machine.bring(machine.plan(*versions, default=default))
            except ProviderError:
                return
            machine.check_start(
                default,
                "two versions have 64 characters and differ in the last one, and the default is "
                f"{default}: the loader cuts such names, so give it shorter ones of your own",
            )

    def test_arming_leaves_nothing_behind(self, machine: Machine) -> None:
        """After a next boot was withdrawn no temporary file is left; a loader may keep its notes."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW))
        before = _files(machine.esp.mountpoint)
        with contextlib.suppress(Unsupported):
            machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        machine.bring(machine.plan(OLD, MIDDLE, NEW))
        left = sorted(filter(looks_temporary, _files(machine.esp.mountpoint) - before))
        assert not left, (
            f"boot_arm leaves {', '.join(left)} on the ESP after the next boot was withdrawn: "
            "write with pvefw.api.replace_file, which leaves no temporary file, and remove what you put"
        )

    def test_what_is_armed_is_no_place_in_the_menu(self, machine: Machine) -> None:
        """Another kernel comes, and core is stopped before it can arm again: no third one boots."""
        try:
            machine.bring(machine.plan(OLD, MIDDLE, next_boot=OLD))
        except Unsupported:
            return
        machine.apply(machine.render(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD)))
        seen = complete(machine.esp.mountpoint, machine.boots(machine.esp.mountpoint))
        assert seen in (OLD, NEW), (
            f"{OLD} is to boot once, the new kernel {NEW} came, and {seen or 'nothing'} boots: name in "
            "boot_arm a kernel by its version, not by its place in the menu"
        )

    def test_a_next_boot_goes_with_its_kernel(self, machine: Machine) -> None:
        """It is not there again, unasked for, when the kernel is installed again."""
        try:
            machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        except Unsupported:
            return
        machine.bring(machine.plan(MIDDLE, NEW))
        armed = machine.probe().next_boot
        assert armed is None, (
            f"{OLD} was to boot once, its kernel was removed and the next boot withdrawn, and boot_probe "
            f"says that {armed} is armed: take away what is armed, whatever it names"
        )
        machine.apply(machine.render(machine.plan(OLD, MIDDLE, NEW)))
        machine.check_start(
            NEW,
            f"{OLD} was to boot once, its kernel was removed, and came again; say in boot_probe what is "
            "armed, also where the menu has no such entry: core withdraws it then",
        )

    def test_what_cannot_be_armed_is_no_success(
        self, bound: Bound[BootloaderSpec], machine: Machine
    ) -> None:
        """An ESP with errors becomes read-only: boot_arm raises, core reports it."""
        if "boot_arm" not in bound.implemented:
            return  # what boot_render renders is in the tree, which core writes
        plan = machine.plan(OLD, MIDDLE, NEW)
        machine.bring(plan)
        once = replace(plan, next_boot=OLD)
        try:
            armed = _arm_read_only(machine, once)
            machine.bring(once)
        except Unsupported:
            return
        assert armed == OLD, (
            f"the ESP is read-only, and boot_arm returns, though {OLD} is not armed: raise a "
            "ProviderError with what the system says"
        )
        armed = _arm_read_only(machine, plan)
        assert armed is None, (
            f"the ESP is read-only, and boot_arm returns, though {armed} is armed still: raise a "
            "ProviderError with what the system says"
        )

    def test_what_cannot_be_installed_is_no_success(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The ESP is read-only, or the loader's package is not there: boot_install raises."""
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        own = sorted({path for path in machine.files().values() if tmp_path.parent in path.parents})
        for case, away in (
            ("the ESP is read-only", _read_only),
            ("the loader's files are not on this host", lambda _: _hidden(own)),
        ):
            esp = replace(machine.esp, mountpoint=tmp_path / case.replace(" ", "-"))
            esp.mountpoint.mkdir()
            with contextlib.suppress(ProviderError), away(esp.mountpoint):
                with _said_by_the_plugin(f"{case}, and boot_install"):
                    for firmware in machine.hooks.boot_firmware():
                        machine.hooks.boot_install(esp=esp, firmware=firmware, task=FakeTask())
                assert machine.hooks.boot_probe(esp=esp) is not None, (
                    f"{case}, and boot_install returns, though the loader is not on the ESP: raise a "
                    "ProviderError that says what is missing"
                )

    def test_files_of_another_loader_are_not_refreshed(self, machine: Machine) -> None:
        """``boot_files`` says what a refresh replaces: nothing that belongs to somebody else."""
        root = machine.esp.mountpoint
        for name in _WHERE_ANOTHER_IS:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(_OF_ANOTHER)
        listed = {str(file).casefold() for file in machine.files()}
        taken = [path for path in _WHERE_ANOTHER_IS if path.casefold() in listed]
        assert not taken, (
            f"boot_files names {', '.join(taken)}, which is another loader's here: list such a file only "
            "where what is in it is your own, or a refresh replaces it"
        )

    def test_what_is_installed_is_refreshed(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``boot_files`` lists every file of the package that ``boot_install`` copies."""
        esp = replace(machine.esp, mountpoint=tmp_path / "new")
        esp.mountpoint.mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        if not machine.install(esp) or not (own := machine.files(esp)):
            pytest.skip("there is no boot_files, or boot_install needs what is not here")
        package = {
            path.read_bytes(): path
            for folder in {source.parent for source in own.values()}
            for path in folder.iterdir()
            if path.is_file()
        }
        for name in sorted(_files(esp.mountpoint) - set(map(str, own))):
            source = package.get((esp.mountpoint / name).read_bytes())
            assert source is None, (
                f"boot_install copies {source} to {name}, which boot_files does not list: list it, or "
                "a refresh puts new files of the loader beside this old one"
            )

    def test_what_no_package_has_is_not_refreshed(self, machine: Machine, tmp_path: Path) -> None:
        """The package was removed: the loader on the ESP stays as it is."""
        sources = _of_this_test(machine.files().values(), tmp_path)
        with (
            _hidden(sources),
            explained("boot_files without the package", "leave out what no package has"),
        ):
            now = {str(file) for file in machine.files().values()}
            left = sorted(now & set(map(str, sources)))
        assert not left, (
            f"boot_files names {left[0]}, which is not on this host any more: leave out what no package "
            "has, or every refresh fails"
        )

    def test_what_a_later_release_has_is_refreshed(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever was a file of this loader before the package changed."""
        esp = replace(machine.esp, mountpoint=tmp_path / "later")
        esp.mountpoint.mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        before = set(machine.files(esp)) if machine.install(esp) else set()
        package = {
            path: path.read_bytes() for path in _of_this_test(machine.files(esp).values(), tmp_path)
        }
        for key, content in package.items():
            key.write_bytes(content + b"of a later release")
        try:
            left = sorted(map(str, before - set(machine.files(esp))))
        finally:
            for key, content in package.items():
                key.write_bytes(content)
        assert not left, (
            f"boot_files does not name {left[0]} any more where the package has a later release: tell "
            "your own files by what all releases have, not by what the package has now"
        )

    def test_installing_again_replaces_old_files(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``boot reinit`` repairs a loader; where firmware looks by itself others may be."""
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        if not machine.install(machine.esp):
            pytest.skip("boot_install needs programs or files that are not here; test it itself")
        root, own = machine.esp.mountpoint, machine.files()
        mine = [path for path in own if str(path.parent).casefold() != "efi/boot"]
        for path in mine:
            (root / path).write_bytes(own[path].read_bytes() + b"of an earlier release")
        machine.install(machine.esp)
        old = [str(path) for path in mine if (root / path).read_bytes() != own[path].read_bytes()]
        assert not old, (
            f"boot_install leaves {', '.join(old)} of an earlier release: replace your own files, "
            "boot reinit is there to repair them"
        )

    def test_something_boots_wherever_installing_is_stopped(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``boot reinit`` on an ESP that boots: no file is gone, or half written, meanwhile."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW))
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        if not machine.install(machine.esp):
            pytest.skip("boot_install needs programs or files that are not here; test it itself")
        with _watched(machine.esp.mountpoint) as wrongs:
            machine.install(machine.esp)
        assert not wrongs, (
            f"boot_install, called again on an ESP that boots, {wrongs[0]}: whoever stops it there "
            "has no loader; write with pvefw.api.replace_file, which replaces a file in one step"
        )


def _check_order(machine: Machine) -> None:
    """Where a menu is one file, its entries stand in it as the plan has them."""
    plan = machine.plan(OLD, MIDDLE, NEW)
    tree = machine.render(plan)
    targets = {source: str(target).encode() for target, source in tree.copies.items()}
    kernels = [targets.get(kernel.vmlinuz, b"missing") for kernel in plan.kernels]
    for path, text in tree.texts.items():
        places = [text.replace(b"\\", b"/").find(kernel) for kernel in kernels]
        assert min(places) < 0 or places == sorted(places), (
            f"the entries in {path} have another order than plan.kernels: write the menu in the order of "
            "plan.kernels, the latest kernel first"
        )


def looks_temporary(name: str) -> bool:
    """Whether a file is called as temporary ones mostly are."""
    last = name.rpartition("/")[2].casefold()
    return last.startswith((".", "tmp")) or last.endswith(_TEMPORARY)


def _of_this_test(sources: Iterable[Path], tmp_path: Path) -> list[Path]:
    """Files that fixtures have made; nothing of this host is changed."""
    files = sorted(
        {source for source in sources if tmp_path.parent in source.parents and source.is_file()}
    )
    if not files:
        pytest.skip("boot_files names no file that a test has put there")
    return files


@contextlib.contextmanager
def _hidden(paths: Iterable[Path]) -> Iterator[None]:
    """Files that are not there for a while."""
    away = [(path, path.with_name(f"{path.name}.hidden")) for path in paths]
    for path, other in away:
        path.rename(other)
    try:
        yield
    finally:
        for path, other in away:
            other.rename(path)


@contextlib.contextmanager
def _said_by_the_plugin(when: str) -> Iterator[None]:
    """What the system says is passed on as a ProviderError: core calls all else the plugin's fault."""
    try:
        yield
    except ProviderError:
        raise
    except PvefwError as error:
        raise AssertionError(
            f"{when} raises what is no ProviderError ({error}): catch OSError, which replace_file and "
            "remove_file raise, too, and raise a ProviderError with the file and what the system says"
        ) from error


def _arm_read_only(machine: Machine, plan: BootPlan) -> str | None:
    """What is armed where boot_arm was called on a read-only ESP and returned; else the plan's."""
    with _read_only(machine.esp.mountpoint):
        try:
            with _said_by_the_plugin("the ESP is read-only, and boot_arm"):
                machine.hooks.boot_arm(esp=machine.esp, plan=plan, task=FakeTask())
        except Unsupported:
            raise
        except ProviderError:
            return plan.next_boot
    return machine.probe().next_boot


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


# --- ESPs that are read-only, files that are gone or half written meanwhile ------------------------

_watchers: list[Callable[[str, tuple[Any, ...]], None]] = []


@functools.cache
def _hook() -> None:
    """Audit hooks cannot be removed: there is one for the process, which mostly does nothing."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        for watcher in _watchers:
            watcher(event, arguments)

    sys.addaudithook(audit)


@contextlib.contextmanager
def _watched(root: Path) -> Iterator[list[str]]:
    """Look at the files below a folder whenever a file is opened, renamed or deleted."""
    there, looking = _files(root), False
    wrongs: list[str] = []

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal looking
        if looking or event not in ("open", "os.rename", "os.remove"):
            return
        looking = True
        try:
            wrongs.extend(f"deletes {gone} before it writes it" for gone in there - _files(root))
            if event == "open":
                path, _, flags = arguments
                name = os.path.relpath(os.fsdecode(path), root) if _is_path(path) else ""
                if name in there and flags & os.O_TRUNC:
                    wrongs.append(f"empties {name} and then writes it")
        finally:
            looking = False

    _hook()
    _watchers.append(look)
    try:
        yield wrongs
    finally:
        _watchers.remove(look)


@contextlib.contextmanager
def _reading(root: Path) -> Iterator[list[str]]:
    """Which files and folders of a host are opened that are not below its root."""
    seen: list[str] = []

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.listdir", "os.scandir") or not _is_path(arguments[0]):
            return
        path = Path(os.fsdecode(arguments[0]))
        if any(map(path.is_relative_to, _HOST)) and not path.is_relative_to(root):
            seen.append(str(path))

    _hook()
    _watchers.append(look)
    try:
        yield seen
    finally:
        _watchers.remove(look)


@contextlib.contextmanager
def _read_only(root: Path) -> Iterator[None]:
    """A file system that has errors: nothing below a folder can be changed."""
    changes = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths = [path]
        elif event in changes:
            paths = list(arguments[:2])
        else:
            return
        names = [os.fsdecode(path) for path in paths if _is_path(path)]
        # a relative name is one in a folder that is open: replace_file writes so
        if any(not Path(name).is_absolute() or root in Path(name).parents for name in names):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), names[0])

    _hook()
    _watchers.append(refuse)
    try:
        yield
    finally:
        _watchers.remove(refuse)


def _is_path(path: object) -> bool:
    return isinstance(path, str | bytes) or hasattr(path, "__fspath__")


# --- another day -------------------------------------------------------------------------------------


class _Later(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "_Later":
        return super().now(tz) + _DAY

    @classmethod
    def utcnow(cls) -> "_Later":
        return cls.now(dt.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> "_Later":
        return cls.now()


class _LaterDate(dt.date):
    @classmethod
    def today(cls) -> "_LaterDate":
        return super().today() + _DAY


@contextlib.contextmanager
def _a_day_later(plugin: object) -> Iterator[None]:
    """Move the clocks that the plugin reads, also where its modules import them by name."""
    real = {name: getattr(time, name) for name in ("time", "time_ns", "strftime")}
    real |= {name: getattr(time, name) for name in ("localtime", "gmtime", "ctime")}

    def given(name: str) -> Callable[..., Any]:
        return lambda seconds=None: real[name](
            real["time"]() + _DAY.total_seconds() if seconds is None else seconds
        )

    def strftime(form: str, moment: Any = None) -> str:
        return str(
            real["strftime"](
                form, moment or real["localtime"](real["time"]() + _DAY.total_seconds())
            )
        )

    later: dict[Any, Any] = {
        real["time"]: lambda: real["time"]() + _DAY.total_seconds(),
        real["time_ns"]: lambda: real["time_ns"]() + int(_DAY.total_seconds()) * 10**9,
        real["strftime"]: strftime,
        dt.datetime: _Later,
        dt.date: _LaterDate,
    } | {real[name]: given(name) for name in ("localtime", "gmtime", "ctime")}
    with _replaced(plugin, later):
        yield


_ELSEWHERE = {
    "LANG": "xx_XX.UTF-8",
    "LC_ALL": "C",
    "HOSTNAME": "elsewhere",
    "USER": "kit",
    "HOME": "/kit",
}


@contextlib.contextmanager
def _elsewhere(plugin: object, folder: Path) -> Iterator[None]:
    """What a process has by itself is that of another one."""
    uname = os.uname()
    other = os.uname_result((uname.sysname, "elsewhere", "6.1.0-kit", "#1 kit", uname.machine))
    names: dict[Any, Any] = {
        os.getpid: lambda: 4242,
        os.getppid: lambda: 4241,
        os.uname: lambda: other,
        socket.gethostname: lambda: other.nodename,
        socket.getfqdn: lambda name="": name or other.nodename,
        platform.node: lambda: other.nodename,
        platform.release: lambda: other.release,
    }
    with pytest.MonkeyPatch.context() as patch, _replaced(plugin, names):
        for name, value in _ELSEWHERE.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        yield


@contextlib.contextmanager
def _replaced(plugin: object, functions: dict[Any, Any]) -> Iterator[None]:
    """Other functions for some of Python's, also where the plugin's modules import them by name."""
    package = type(plugin).__module__.partition(".")[0]
    mine = [module for name, module in sys.modules.items() if name.partition(".")[0] == package]
    with pytest.MonkeyPatch.context() as patch:
        for module in (time, dt, os, socket, platform, *mine):
            for name, value in list(vars(module).items()):
                if callable(value) and value.__hash__ and value in functions:
                    patch.setattr(module, name, functions[value])
        yield

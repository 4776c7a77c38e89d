"""What the boot-loader kit is built on: a host, its ESP, and what comes up after each of core's steps.

``pvefw.testing.boot`` has all of it under its own name, too.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, BootState, BootTree, Esp, Kernel, ProviderError, Unsupported
from pvefw.seam import BootloaderSpec, Bound, PvefwError
from pvefw.testing.fakes import FakeTask, fake_kernel

OLD, MIDDLE, NEW = "6.5.13-6-pve", "6.8.4-3-pve", "6.8.12-4-pve"
_RESERVED = set('"*/:<>?\\|') | {chr(code) for code in (*range(32), 127)}
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Started:
    """What a loader starts: paths are relative to the ESP."""

    kernel: PurePosixPath
    initrd: PurePosixPath
    cmdline: str
    """As the kernel gets it."""
    title: str = ""
    """What the menu calls it, where the loader has a menu and ``boots`` reads it. Since 1.1."""


Boots = Callable[[Path], Started | None]
"""Plays one start of the machine from the ESP that lies in this directory: returns what the loader starts
(``None`` for nothing), and changes what the loader changes, such as an entry that boots only once."""


class Machine:
    """A host, its ESP, and core's part in bringing the one onto the other."""

    def __init__(
        self, host: Path, esp: Esp, bound: Bound[BootloaderSpec], boots: Boots, task: FakeTask
    ) -> None:
        self.host = host
        self.esp = esp
        self.hooks = bound.hooks
        self.boots = boots
        self._arms = "boot_arm" in bound.implemented
        self._has_files = "boot_files" in bound.implemented
        self._task = task
        self._brought: BootPlan | None = None
        self.last = Started(PurePosixPath(), PurePosixPath(), "")
        """What :meth:`check_start` saw."""
        self.refused = ""
        """Why :meth:`install` could not install the loader, the last time it could not."""

    def plan(
        self, *versions: str, default: str | None = None, next_boot: str | None = None
    ) -> BootPlan:
        """A plan for these versions, given with the latest last; it boots unless told otherwise."""
        kernels: Sequence[Kernel] = [
            fake_kernel(self.host, version) for version in reversed(versions)
        ]
        cmdline = "root=ZFS=rpool/ROOT/pve-1 boot=zfs"
        return BootPlan(kernels, default or versions[-1], next_boot, cmdline, self.host)

    def render(self, plan: BootPlan) -> BootTree:
        """What the loader wants."""
        try:
            return self.hooks.boot_render(esp=self.esp, plan=plan)
        except Unsupported as error:
            assert plan.next_boot is None, (
                f"boot_render refuses a plan with a next_boot ({error}), and nothing is refreshed: "
                "render the default, and raise Unsupported in boot_arm"
            )
            raise

    def probe(self) -> BootState:
        """What the loader finds of its own; required."""
        state = self.hooks.boot_probe(esp=self.esp)
        assert state is not None, (
            "boot_probe does not see the loader that is installed: it says None"
        )
        return state

    def files(self, esp: Esp | None = None) -> Mapping[PurePosixPath, Path]:
        """What the loader has on an ESP and a refresh replaces, as boot_files says.

        :param esp: the machine's own without it.
        """
        return self.hooks.boot_files(esp=esp or self.esp) if self._has_files else {}

    def bring(self, plan: BootPlan) -> BootTree:
        """A whole refresh."""
        tree = self.render(plan)
        self._brought = plan
        self.apply(tree)
        self.arm(plan)
        return tree

    def install(self, esp: Esp) -> bool:
        """Call boot_install for each firmware; whether one could be installed."""
        done = False
        for firmware in self.hooks.boot_firmware():
            try:
                self.hooks.boot_install(esp=esp, firmware=firmware, task=self._task)
            except ProviderError as error:
                self.refused = str(error)
            except PvefwError as error:
                raise AssertionError(
                    f"{error}: the folder or the file may be there already, replace what is your own; "
                    "where something is missing raise a ProviderError"
                ) from error
            else:
                done = True
        return done

    def apply(self, tree: BootTree) -> None:
        """Bring the ESP to this tree."""
        for _ in bring(self.esp.mountpoint, tree):
            pass

    def arm(self, plan: BootPlan) -> None:
        """Arm or disarm, where the loader has found something else than the plan says."""
        if self._arms and self.probe().next_boot != plan.next_boot:
            self.call_arm(plan)

    def call_arm(self, plan: BootPlan) -> None:
        """Call boot_arm, where there is one; it may refuse to arm, never to disarm."""
        if not self._arms:
            return
        try:
            self.hooks.boot_arm(esp=self.esp, plan=plan, task=self._task)
        except PvefwError as error:
            if plan.next_boot is not None:
                raise
            raise AssertionError(
                f"boot_arm raises {type(error).__name__} ({error}) for a plan whose next_boot is None: "
                "take away what is armed, and where nothing is, do nothing"
            ) from error

    # --- checks -------------------------------------------------------------------------------------

    def check_references(self) -> None:
        """The configuration refers to files that are there."""
        started = self.boots(self.esp.mountpoint)
        assert started is not None, (
            "nothing boots although everything in the tree is in place: render all that the loader reads"
        )
        for path in (started.kernel, started.initrd):
            assert (self.esp.mountpoint / path).is_file(), (
                f"the configuration refers to {path}, which is not in the tree: copy it there, or "
                "name the place that it is copied to"
            )

    def check_start(self, version: str, when: str) -> None:
        """Start the machine: this version comes up."""
        started = self.boots(self.esp.mountpoint)
        seen = complete(self.esp.mountpoint, started)
        assert started is not None and seen == version, (
            f"{when}; {version} should boot, and {seen or _broken(self.esp.mountpoint, started)} does"
        )
        self.last = started

    def check_refusal(self) -> None:
        """The loader has refused to boot a kernel once: nothing is armed, and the default boots."""
        plan = self._brought
        assert plan is not None
        armed = self.probe().next_boot
        assert armed is None, (
            f"boot_arm raises Unsupported, and boot_probe says that {armed} is armed: arm nothing then"
        )
        for _ in range(2):
            self.check_start(
                plan.default, "boot_arm raised Unsupported: the default must be unharmed"
            )

    def check_walk(self, plan: BootPlan, scratch: Path, *, can_be_empty: bool = False) -> None:
        """Bring the ESP to the plan, and look after each step what would boot.

        :param scratch: for copies, as starting the machine may change the ESP.
        :param can_be_empty: nothing has booted before either: only from the first start on it must.
        """
        for step in bring(self.esp.mountpoint, self.render(plan)):
            shutil.copytree(self.esp.mountpoint, scratch)
            started = self.boots(scratch)
            seen, broken = complete(scratch, started), _broken(scratch, started)
            shutil.rmtree(scratch)
            assert seen or (can_be_empty and started is None), (
                f"core was stopped after it {step}, and then {broken} boots, which is "
                "no complete kernel: mind the order of 'texts' and 'owned'"
            )
            can_be_empty = can_be_empty and not seen


def bring(root: Path, tree: BootTree) -> Iterator[str]:
    """Bring a directory to a tree in core's order, and say after each step what was done.

    New files are complete under temporary names before any is renamed; configuration follows in its
    order; then what is owned and not listed goes, pattern after pattern.
    """
    fresh = [item for item in tree.copies.items() if not _is_copy(root / item[0], item[1])]
    for target, source in fresh:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, _temporary(root / target))
        yield f"copied {source.name}, under a temporary name"
    for target, _ in fresh:
        _temporary(root / target).replace(root / target)
        yield f"renamed it to {target}"
    for target, text in tree.texts.items():
        if (root / target).is_file() and (root / target).read_bytes() == text:
            continue
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        _temporary(root / target).write_bytes(text)
        yield f"wrote {target}, under a temporary name"
        _temporary(root / target).replace(root / target)
        yield f"replaced {target}"
    for pattern in tree.owned:
        for path in sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()):
            target = PurePosixPath(path)
            if matches(target, pattern) and target not in tree.copies and target not in tree.texts:
                (root / path).unlink()
                yield f"deleted {path}"


def matches(path: PurePosixPath, pattern: str) -> bool:
    """Whether a pattern of ``BootTree.owned`` matches; ``*`` stays in its folder."""
    parts = PurePosixPath(pattern).parts
    return len(parts) == len(path.parts) and all(map(fnmatchcase, path.parts, parts))


def _broken(root: Path, started: Started | None) -> str:
    """What is started where it is no complete kernel, in words."""
    if started is None:
        return "nothing"
    parts = [
        f"{path} ({file.read_text().split(' build ')[0] if file.is_file() else 'missing'})"
        for path in (started.kernel, started.initrd)
        for file in [root / path]
    ]
    return f"{parts[0]} with the initrd {parts[1]}"


def complete(root: Path, started: Started | None) -> str:
    """The version that comes up, or nothing where kernel and initrd are not whole or do not match."""
    if started is None:
        return ""
    words = [
        (root / path).read_text().rsplit(" build ", 1)[0] if (root / path).is_file() else ""
        for path in (started.kernel, started.initrd)
    ]
    version = words[0].removeprefix("kernel ")
    return version if words == [f"kernel {version}", f"initrd {version}"] else ""


def check_paths(paths: Sequence[PurePosixPath]) -> None:
    """They are relative, stay on the ESP, and vfat can hold them side by side."""
    seen: dict[str, PurePosixPath] = {}
    for path in paths:
        assert not path.is_absolute() and ".." not in path.parts, (
            f"the path {str(path)!r} leads out of the ESP: paths are relative to it, without .."
        )
        for part in path.parts:
            assert not _RESERVED & set(part) and part == part.strip(" ").rstrip(".") and part, (
                f"the path {str(path)!r} cannot be on vfat: it forbids control characters, "
                '" * : < > ? \\ |, and a space or full stop at the end'
            )
            assert len(part) <= _LONGEST_NAME, (
                f"the name {part!r} is too long for vfat: names have at most {_LONGEST_NAME} characters"
            )
        for folded in (path, *path.parents):
            other = seen.setdefault(str(folded).casefold(), folded)
            assert other == folded, (
                f"{other} and {folded} are one file on vfat, which does not tell upper from lower "
                "case: give them other names, or raise a ProviderError"
            )


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _is_copy(target: Path, source: Path) -> bool:
    return target.is_file() and target.read_bytes() == source.read_bytes()

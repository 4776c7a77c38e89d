"""The conformance kit of the boot-loader family.

Inherit from :class:`BootloaderConformance` and say how to make the plugin, what its loader looks like on
an ESP, and how the loader reads what lies there::

    class TestMyloader(BootloaderConformance):
        @pytest.fixture
        def plugin(self):
            return Myloader()

        @pytest.fixture
        def install(self):
            def install(esp):
                (esp / "EFI/BOOT").mkdir(parents=True)
                (esp / "EFI/BOOT/BOOTX64.EFI").write_bytes(b"...")
            return install

        @pytest.fixture
        def boots(self):
            return read_config_as_myloader_does  # (Path) -> Started | None

``boots`` is the heart: it plays one start of the machine from a directory, and must not use the plugin.
The kit takes every state in which core can be stopped, and asks what would boot.

It calls ``boot_install`` on a directory, without programs on the path; where that is not possible these
tests are skipped. A loader that can boot nothing once raises ``Unsupported`` in ``boot_arm``.

What it cannot see: whether ``boots`` reads as the loader does, whether firmware finds the loader, Secure
Boot, what vfat loses in a power cut, variables in the firmware, what ``boot_install`` does with programs,
``boot_update``, ``boot_select``, what the plugin's own settings do, and what else a loader keeps in a
file that ``boot_arm`` writes. A virtual machine shows these.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pvefw import seam
from pvefw.api import BootPlan, BootTree, ProviderError, Unsupported
from pvefw.seam import BootloaderSpec, Bound, PluginBroken, PvefwError
from pvefw.testing._settings import check_help, check_secrets
from pvefw.testing.boot_care import BootCare, looks_temporary
from pvefw.testing.boot_machine import (
    MIDDLE,
    NEW,
    OLD,
    Boots,
    Machine,
    Started,
    bring,
    check_paths,
    complete,
    matches,
)
from pvefw.testing.fakes import FakeTask, fake_esp, fake_kernel

__all__ = [
    "BootloaderConformance",
    "Boots",
    "Machine",
    "Started",
    "bring",
    "check_paths",
    "complete",
    "matches",
]

NEWEST = "6.11.0-1-pve"
ODD = ("6.8.12-4-pve2", "6.8.12-4-PVE-Test", "6.9.0+", "6.9.0+3", "6.9.0+3-1", "6.9.0~rc1")
"""Versions that kernels have, and that a careless loader mixes up with others, or reads otherwise."""
HOSTILE = (
    "../6.8.4",
    "..",
    "6.8/4",
    "/6.8.4",
    "6.8.4\nlinux /evil",
    "6.8.4\t1",
    "6 8 4",
    "",
    "6.8.4.",
    "6.8.*",
    "6.8?",
    '6.8"4',
    "6.8:4",
    "6.8'4",
    "6.8;reboot",
    "$(reboot)",
    "6.8\\4",
    "[6].8",
    "6.8\0",
)
"""Versions that cannot be file names on vfat, or mean something else in a configuration."""

FOREIGN = (
    "EFI/Microsoft/Boot/bootmgfw.efi",
    "EFI/Microsoft/Boot/BCD",
    "EFI/Dell/bios/bios.rcv",
    "EFI/debian/shimx64.efi",
    "EFI/debian/grub.cfg",
    "EFI/Linux/other-6.1.efi",
    "loader/entries/windows.conf",
    "loader/entries/debian-6.1.0-9-amd64.conf",
    "debian/6.1.0-9-amd64/linux",
    "debian/6.1.0-9-amd64/initrd",
    "vmlinuz-rescue",
    "initrd.img-rescue",
    "EFI/refind/refind.conf",
    "EFI/refind/refind_x64.efi",
    "limine.conf",
    "NOTES.TXT",
    "System Volume Information/IndexerVolumeGuid",
)
"""What others keep on ESPs."""

_PLAIN = ("root=ZFS=rpool/ROOT/pve-1 boot=zfs", "root=/dev/mapper/pve-root ro quiet")
_QUOTED = (
    "root=UUID=abc dyndbg=\"file drivers/usb/* +p\" a='b' c=$HOME d=\\x e=#f;g `h` {i} j&k",
    "root=LABEL=größe",
    'root=/dev/vda1 a="b  c"  d',
    "root=/dev/vda1 a=${ARCH} b=${HOME:-x} c=%s d=@e@ f={{g}} h=~i",
    "root=/dev/vda1 a=^b c=*d e=?f g=!h i=<j> k=[l],m last=\\",
)
_TITLES = (
    "Proxmox\ninit=/evil",
    "Proxmox\r\ninit=/evil",
    "Proxmox\0init=/evil",
    "Proxmox a=${ARCH} $(reboot) `reboot`",
    'Proxmox\'s "best" } { / : # | \\',
    "Proxmox ^V &E ~x %d @e@ *f ?g !h <i> [j], =k",
    "Pröxmox ≥ 9",
)
_MACRO = "a=${ARCH}"
_AGAIN = (
    "boot_install raises {} where the loader is already: replace what is there, reinit repeats it"
)
_ANOTHER_LOADER = "EFI/BOOT/BOOTX64.EFI"
_WHERE_FIRMWARE_LOOKS = (_ANOTHER_LOADER, "EFI/BOOT/BOOTAA64.EFI", "EFI/BOOT/grubx64.efi")


def _may_refuse(test: Callable[..., None]) -> Callable[..., None]:
    """A loader that cannot boot once says so in boot_arm: then only the default has to boot."""

    @functools.wraps(test)
    def tested(*arguments: Any, machine: Machine, **more: Any) -> None:
        try:
            test(*arguments, machine=machine, **more)
        except Unsupported:
            machine.check_refusal()

    return tested


def _no_line_of_its_own(tree: BootTree, what: str, advice: str) -> None:
    """No part of a hostile text is a line of the configuration."""
    for path, text in tree.texts.items():
        lines = re.split(rb"[\r\n\0]+", text)
        assert not any(line.strip().startswith(b"init=/evil") for line in lines), (
            f"{what} became a line of its own in {path}: {advice}"
        )


class BootloaderConformance(BootCare):
    """What every boot loader must do. Each failure says in one sentence what is wrong."""

    # --- what the author says -------------------------------------------------------------------

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your plugin, ready to use."
        )

    @pytest.fixture
    def install(self) -> Callable[[Path], None]:
        """Puts the loader's own files into a directory, as boot_install does. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'install': return a function that puts into a directory what "
            "boot_install puts on an ESP."
        )

    @pytest.fixture
    def boots(self) -> Boots:
        """Reads a directory as the loader does. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'boots': return a function that takes a directory and returns "
            "what your loader would start from it, as Started, or None."
        )

    @pytest.fixture
    def choose(self) -> Callable[[Path, str], None] | None:
        """Does what the loader does when somebody chooses another default in its own menu, for good.

        To be overridden where that comes before the configuration: a function that gets the ESP's
        directory and a version. Since 1.1.
        """
        return None

    def arguments(self, plan: BootPlan) -> str:
        """What kernels must be given. Override it where the loader's own configuration decides."""
        return plan.cmdline

    # --- what the kit makes of it -----------------------------------------------------------------

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task that hooks get."""
        return FakeTask()

    @pytest.fixture
    def host(self, tmp_path: Path) -> Path:
        """The host's own files: ``plan.root``. Override it to put the loader's configuration there."""
        return tmp_path / "host"

    @pytest.fixture
    def bound(self, plugin: object) -> Bound[BootloaderSpec]:
        """The plugin as core binds it."""
        try:
            made: Bound[BootloaderSpec] = seam.bind("bootloader", plugin, type(plugin).__name__)
        except PluginBroken as error:
            raise AssertionError(f"core refuses the plugin: {error}") from error
        return made

    @pytest.fixture
    def machine(
        self,
        tmp_path: Path,
        host: Path,
        bound: Bound[BootloaderSpec],
        boots: Boots,
        install: Callable[[Path], None],
        task: FakeTask,
    ) -> Machine:
        """A host with one ESP, on which the loader is installed beside the files of others."""
        machine = Machine(host, fake_esp(tmp_path / "esp"), bound, boots, task)
        machine.esp.mountpoint.mkdir()
        _put(machine.esp.mountpoint, FOREIGN)
        install(machine.esp.mountpoint)
        return machine

    # --- the plugin -------------------------------------------------------------------------------

    def test_core_accepts_it(self, bound: Bound[BootloaderSpec]) -> None:
        """It has every hook that is required, and names the firmware that can start it."""
        firmware = bound.hooks.boot_firmware()
        assert firmware, "boot_firmware names nothing: say which firmware can start this loader"
        assert len(set(firmware)) == len(firmware), f"boot_firmware names one twice: {firmware}"

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        check_help(plugin)

    def test_secrets_do_not_show(self, plugin: object) -> None:
        """``repr`` may appear in any log."""
        check_secrets(plugin)

    # --- render: arguments in, tree out -----------------------------------------------------------

    def test_rendering_is_repeatable(self, machine: Machine) -> None:
        """The same arguments give the same tree, in the same order."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        first, second = machine.render(plan), machine.render(plan)
        assert _as_lists(first) == _as_lists(second), (
            "boot_render gave two different trees for the same arguments: no clock, no random "
            "number and no order of a set may decide anything"
        )

    def test_rendering_looks_at_no_esp(self, machine: Machine, tmp_path: Path) -> None:
        """Only the ESP's uuid may decide anything; the ESP is perhaps not mounted."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        machine.bring(plan)
        there = machine.render(plan)
        for path, text in there.texts.items():  # as an administrator may have edited it
            (machine.esp.mountpoint / path).write_bytes(re.sub(rb"\d", b"7", text))
        try:
            edited = machine.render(plan)
        except PvefwError as error:
            raise AssertionError(
                f"boot_render fails where somebody has edited the ESP ({error}): it must not look there"
            ) from error
        assert _as_lists(there) == _as_lists(edited), (
            "boot_render gave another tree where somebody had edited the ESP: take what can be chosen "
            "from settings or from files below plan.root"
        )
        elsewhere = replace(
            machine.esp,
            mountpoint=tmp_path / "not-mounted",
            device=Path("/dev/nvme9n1p2"),
            disk=Path("/dev/nvme9n1"),
            size=300 << 20,
            free=0,
        )
        try:
            absent = machine.hooks.boot_render(esp=elsewhere, plan=plan)
        except ProviderError as error:
            raise AssertionError(
                f"boot_render fails for an ESP that is not mounted ({error}): it must not look there"
            ) from error
        assert _as_lists(there) == _as_lists(absent), (
            "boot_render gave another tree for the same ESP where it is not mounted: of the ESP "
            "only its uuid may decide anything"
        )

    def test_rendering_writes_nothing(self, machine: Machine) -> None:
        """Neither on the ESP nor on the host."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        before = _contents(machine.esp.mountpoint), _contents(machine.host)
        machine.render(plan)
        machine.render(replace(plan, next_boot=OLD))
        assert (_contents(machine.esp.mountpoint), _contents(machine.host)) == before, (
            "boot_render has written: return what is wanted, core writes it"
        )

    def test_paths_fit_on_an_esp(self, machine: Machine) -> None:
        """Relative, within the ESP, possible on vfat, and each only once whatever its case."""
        for plan in (machine.plan(OLD, MIDDLE, NEW), machine.plan(NEW, *ODD, default=NEW)):
            tree = machine.render(plan)
            check_paths([*tree.copies, *tree.texts])
            both = set(tree.copies) & set(tree.texts)
            assert not both, f"{_listed(both)} is to be copied and to be written: say only one"
            for pattern in tree.owned:
                path = PurePosixPath(pattern)
                assert not path.is_absolute() and not {"..", "**"} & set(path.parts), (
                    f"the pattern {pattern!r} leaves its folder: patterns are relative to the ESP, "
                    "without .. and **"
                )

    def test_every_kernel_is_copied(self, machine: Machine) -> None:
        """Kernel and initrd of each version come from where the plan says."""
        for plan in (machine.plan(OLD, MIDDLE, NEW), machine.plan(NEW, NEWEST)):
            sources = set(machine.render(plan).copies.values())
            wanted = {path for kernel in plan.kernels for path in (kernel.vmlinuz, kernel.initrd)}
            assert sources >= wanted, (
                f"{_listed(wanted - sources)} is not copied: a menu must offer every kernel of the plan"
            )
            assert sources <= wanted, (
                f"{_listed(sources - wanted)} is copied, which is no kernel of the plan: copy "
                "kernels and initrds alone, and remember none of an earlier plan; boot_install brings "
                "the loader's own files"
            )

    @pytest.mark.parametrize("version", HOSTILE, ids=repr)
    def test_hostile_versions(self, version: str, machine: Machine) -> None:
        """A ProviderError, or paths that are harmless and texts that say nothing else."""
        harmless = fake_kernel(machine.host, MIDDLE)
        plan = machine.plan(NEW)
        plan = replace(plan, kernels=[*plan.kernels, replace(harmless, version=version)])
        try:
            tree = machine.render(plan)
        except ProviderError:
            return
        check_paths([*tree.copies, *tree.texts])
        machine.apply(tree)
        machine.check_start(NEW, f"a kernel is called {version!r}")

    @pytest.mark.parametrize(
        "cmdline",
        ["root=/dev/sda1\ninit=/evil", "root=/dev/sda1\r\ninit=/evil", "root=/a\0init=/evil"],
    )
    def test_hostile_command_lines(self, cmdline: str, machine: Machine) -> None:
        """A second line of it never becomes a line of the configuration: a ProviderError, mostly."""
        try:
            tree = machine.render(replace(machine.plan(NEW), cmdline=cmdline))
        except ProviderError:
            return
        _no_line_of_its_own(
            tree,
            f"the command line {cmdline!r}",
            "raise a ProviderError for what cannot be written",
        )

    def test_kernels_that_vfat_cannot_tell_apart(self, machine: Machine) -> None:
        """A ProviderError, or paths that differ in more than their case."""
        plan = machine.plan("6.8.4-a", "6.8.4-A")
        try:
            tree = machine.render(plan)
        except ProviderError:
            return
        check_paths([*tree.copies, *tree.texts])

    # --- what boots ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("default", [OLD, MIDDLE, NEW])
    def test_the_default_boots(self, default: str, machine: Machine) -> None:
        """Whichever the plan names, with its own initrd and command line, start after start."""
        plan = machine.plan(OLD, MIDDLE, NEW, default=default)
        machine.bring(plan)
        machine.check_references()
        for _ in range(2):
            machine.check_start(default, f"the default is {default}")
            assert self.arguments(plan) in machine.last.cmdline, (
                f"the kernel gets {machine.last.cmdline!r}, and the plan says "
                f"{self.arguments(plan)!r}: quote it for the loader, or raise a ProviderError"
            )

    @pytest.mark.parametrize("default", ODD)
    def test_odd_versions_boot(self, default: str, machine: Machine) -> None:
        """Versions that begin like another one, and those with capitals or a plus sign."""
        plan = machine.plan(NEW, *ODD, default=default)
        try:
            machine.bring(plan)
        except ProviderError as error:
            raise AssertionError(
                f"the kernel {default} is refused ({error}): kernels are called so"
            ) from error
        for _ in range(3):
            machine.check_start(default, f"the default is {default}")

    @pytest.mark.parametrize("cmdline", _PLAIN + _QUOTED)
    def test_the_command_line_arrives(self, cmdline: str, machine: Machine) -> None:
        """Character by character, whatever quotes and dollar signs mean elsewhere, or not at all."""
        plan = replace(machine.plan(MIDDLE, NEW), cmdline=cmdline)
        try:
            machine.bring(plan)
        except ProviderError:
            if cmdline in _PLAIN:
                raise
            return  # it cannot be said to this loader, and the plugin says so
        machine.check_start(NEW, f"the command line is {cmdline!r}")
        assert self.arguments(plan) in machine.last.cmdline, (
            f"the kernel gets {machine.last.cmdline!r} instead of {self.arguments(plan)!r}: quote "
            "it for the loader, or raise a ProviderError"
        )

    @pytest.mark.parametrize("title", _TITLES, ids=repr)
    def test_hostile_titles(self, title: str, machine: Machine) -> None:
        """A ProviderError, or a menu that says the same and nothing else."""
        plan = replace(machine.plan(MIDDLE, NEW), title=title)
        try:
            tree = machine.render(plan)
        except ProviderError:
            return
        _no_line_of_its_own(
            tree, f"the title {title!r}", "make one line of it, or raise a ProviderError"
        )
        machine.bring(plan)
        machine.check_start(NEW, f"the title is {title!r}")
        seen, shows = machine.last.title, title.isprintable()
        assert not seen or title in seen or not shows, (
            f"the menu says {seen!r} instead of {title!r}: quote the title for the loader, or raise a "
            "ProviderError"
        )
        if shows and not seen and any(title.encode() in text for text in tree.texts.values()):
            assert _MACRO not in title or not _minds_macros(machine), (
                f"boot_render writes {_MACRO} as it is in a title, and not in a command line: quote it "
                "in both, or let 'boots' return the title that the menu shows"
            )
            pytest.skip("let 'boots' return Started(…, title=…): then titles are checked, too")

    # --- install ------------------------------------------------------------------------------------

    def test_installing_leaves_what_others_have(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On an ESP with the files of others, and again where the loader is already: as reinit does."""
        esp = replace(machine.esp, mountpoint=tmp_path / "shared")
        esp.mountpoint.mkdir()
        _put(esp.mountpoint, FOREIGN)
        before = _contents(esp.mountpoint)
        first: dict[str, tuple[bytes, int]] = {}
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))  # none may touch this machine
        for attempt in ("", ", called again,"):
            if not machine.install(esp):
                assert not attempt, _AGAIN.format(machine.refused)
                pytest.skip(
                    "boot_install needs programs or files that are not here; test it itself"
                )
            after = _contents(esp.mountpoint)
            left = sorted(filter(looks_temporary, set(after) - set(before)))
            assert not left, (
                f"boot_install{attempt} leaves {_listed(left)} on the ESP: write with "
                "pvefw.api.replace_file, which leaves no temporary file"
            )
            gone = set(before) - set(after)
            assert not gone, (
                f"boot_install{attempt} deletes {_listed(gone)}: an ESP is shared, put your own files "
                "beside what is there"
            )
            changed = {path for path, was in before.items() if was[0] != after[path][0]}
            assert not changed, (
                f"boot_install{attempt} overwrites {_listed(changed)} of somebody else: use a folder of "
                "your own below EFI/"
            )
            first = first or after
            unlike = {path for path, is_ in after.items() if first.get(path, (b"",))[0] != is_[0]}
            assert not unlike and first.keys() == after.keys(), (
                f"boot_install{attempt} changes {_listed(unlike or first.keys() ^ after.keys())}: write "
                "your files as a whole, so that the second call leaves what the first one left"
            )
        assert machine.hooks.boot_probe(esp=esp) is not None, (
            "boot_install has put the loader on the ESP, and boot_probe does not see it there: look "
            "where boot_install writes"
        )

    def test_installing_leaves_the_loader_of_others(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where firmware looks by itself somebody else may be already: keep it, or refuse."""
        esp = replace(machine.esp, mountpoint=tmp_path / "taken")
        esp.mountpoint.mkdir()
        _put(esp.mountpoint, [*FOREIGN, *_WHERE_FIRMWARE_LOOKS])
        before = {path: content for path, (content, _) in _contents(esp.mountpoint).items()}
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        machine.install(esp)
        after = {content for content, _ in _contents(esp.mountpoint).values()}
        lost = {path for path, content in before.items() if content not in after}
        assert not lost, (
            f"boot_install takes {_listed(lost)} from somebody else, who boots from it: look what is in "
            "such a file before you replace it, and leave it, keep a copy on the ESP, or raise a "
            "ProviderError"
        )

    def test_installing_keeps_the_kernels(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """``boot reinit`` on an ESP that boots: it still does, whatever happens next."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, default=MIDDLE))
        monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
        if not machine.install(machine.esp):
            refused, empty = machine.refused, replace(machine.esp, mountpoint=tmp_path / "empty")
            empty.mountpoint.mkdir()
            assert not machine.install(empty), _AGAIN.format(refused)
            pytest.skip("boot_install needs programs or files that are not here; test it itself")
        machine.check_start(MIDDLE, "boot_install was called on an ESP that boots")

    # --- what core may delete -----------------------------------------------------------------------

    def test_files_of_others_stay(self, machine: Machine) -> None:
        """Other systems and loaders keep their files on the ESP, and so does this loader itself."""
        before = _contents(machine.esp.mountpoint)
        machine.apply(machine.render(machine.plan(OLD, MIDDLE, NEW)))
        tree = machine.render(machine.plan(NEW, NEWEST))
        machine.apply(tree)
        gone = set(before) - set(_contents(machine.esp.mountpoint))
        assert not gone, (
            f"{_listed(gone)} would be deleted: own only what boot_render itself has put there"
        )
        changed = {
            path
            for path, was in before.items()
            if PurePosixPath(path) not in tree.texts
            and was[0] != (machine.esp.mountpoint / path).read_bytes()
        }
        assert not changed, (
            f"{_listed(changed)} of somebody else has been overwritten: use a folder of your own"
        )

    def test_own_files_go(self, machine: Machine) -> None:
        """What an earlier tree has put there and this one does not list is deleted."""
        earlier = machine.render(machine.plan(OLD, MIDDLE, NEW, default=OLD))
        machine.apply(earlier)
        tree = machine.render(machine.plan(NEW, NEWEST))
        machine.apply(tree)
        left = {
            path
            for path in {*earlier.copies, *earlier.texts} - {*tree.copies, *tree.texts}
            if (machine.esp.mountpoint / path).exists()
        }
        assert not left, (
            f"{_listed(left)} is left over: 'owned' must match every file that an earlier tree had, "
            "or ESPs fill up with kernels that are gone"
        )

    # --- stopped anywhere ---------------------------------------------------------------------------

    @pytest.mark.parametrize("change", ["first", "new kernel", "only new ones", "back", "rebuilt"])
    def test_something_boots_wherever_core_is_stopped(
        self, change: str, machine: Machine, tmp_path: Path
    ) -> None:
        """After every single write, rename and deletion, a kernel that is complete boots."""
        before = machine.plan(OLD, MIDDLE, NEW)
        after = {
            "first": before,
            "new kernel": machine.plan(MIDDLE, NEW, NEWEST),
            "only new ones": machine.plan(NEWEST),
            "back": machine.plan(OLD, MIDDLE, default=OLD),
            "rebuilt": before,
        }[change]
        if change != "first":
            machine.bring(before)
        if change == "rebuilt":
            for kernel in before.kernels:
                fake_kernel(machine.host, kernel.version, build="2")
        machine.check_walk(after, tmp_path / "stopped", can_be_empty=change == "first")
        machine.check_start(after.default, f"everything is done ({change})")

    @_may_refuse
    def test_something_boots_while_a_next_boot_goes(self, machine: Machine, tmp_path: Path) -> None:
        """Also where the kernel that was to boot once is taken away."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        after = machine.plan(MIDDLE, NEW)
        machine.check_walk(after, tmp_path / "stopped")
        machine.arm(after)
        machine.check_start(NEW, "the next boot was withdrawn with its kernel")

    # --- booting once -------------------------------------------------------------------------------

    @pytest.mark.parametrize(("default", "once"), [(NEW, OLD), (OLD, NEW), (MIDDLE, MIDDLE)])
    @_may_refuse
    def test_the_next_boot_happens_once(self, default: str, once: str, machine: Machine) -> None:
        """Then the default boots again, by itself: nobody may have been there to disarm anything."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, default=default))
        plan = machine.plan(OLD, MIDDLE, NEW, default=default, next_boot=once)
        machine.bring(plan)
        armed = machine.probe().next_boot
        assert armed == once, (
            f"{once} is to boot once, and boot_probe says that {armed} is: core would arm it at "
            "every refresh"
        )
        machine.check_start(once, f"{once} is to boot once: the next boot is lost")
        for _ in range(2):
            machine.check_start(
                default, f"{once} has had its one boot: it must not need anybody to disarm it"
            )
        armed = machine.probe().next_boot
        assert armed is None, (
            f"{once} has had its one boot, and boot_probe says that {armed} is armed: read what the "
            "loader changes when it boots once"
        )

    @_may_refuse
    def test_a_refresh_keeps_what_is_armed(self, machine: Machine) -> None:
        """Core arms nothing that is armed already, so its tree must leave that alone."""
        plan = machine.plan(OLD, MIDDLE, NEW, next_boot=OLD)
        tree = machine.bring(plan)
        touched = {
            path
            for path, text in tree.texts.items()
            if (machine.esp.mountpoint / path).read_bytes() != text
        }
        assert not touched, (
            f"boot_arm has changed {_listed(touched)}, which boot_render renders otherwise: the next "
            "refresh would undo it"
        )
        machine.apply(machine.render(plan))
        machine.check_start(OLD, f"{OLD} is armed, then the tree was brought there again")

    @_may_refuse
    def test_a_next_boot_can_be_withdrawn(self, machine: Machine) -> None:
        """Before it has happened."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        plan = machine.plan(OLD, MIDDLE, NEW)
        machine.bring(plan)
        armed = machine.probe().next_boot
        assert armed is None, (
            f"the next boot was withdrawn, and boot_probe says that {armed} is armed: take it away where "
            "plan.next_boot is None"
        )
        machine.check_start(NEW, "the next boot was withdrawn: it was never disarmed")

    @_may_refuse
    def test_nothing_is_armed_where_nothing_was(self, machine: Machine) -> None:
        """Withdrawn twice: core withdraws, too, where something else than it overrules the default."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        plan = machine.plan(OLD, MIDDLE, NEW)
        machine.bring(plan)
        machine.call_arm(plan)
        machine.check_start(NEW, "nothing is to boot once: boot_arm was called all the same")

    @_may_refuse
    def test_a_next_boot_can_change(self, machine: Machine) -> None:
        """To another kernel; with another default, too."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        plan = machine.plan(OLD, MIDDLE, NEW, default=OLD, next_boot=MIDDLE)
        machine.bring(plan)
        machine.check_start(MIDDLE, f"{OLD} was to boot once, then {MIDDLE} instead")
        machine.check_start(OLD, f"{MIDDLE} has had its one boot, the default is {OLD} now")

    @_may_refuse
    def test_the_default_can_change_under_a_next_boot(self, machine: Machine) -> None:
        """A next boot stays what it is."""
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        plan = machine.plan(OLD, MIDDLE, NEW, default=MIDDLE, next_boot=OLD)
        machine.bring(plan)
        machine.check_start(OLD, f"{OLD} is to boot once, the default became {MIDDLE}")
        machine.check_start(MIDDLE, f"{OLD} has had its one boot, the default is {MIDDLE}")

    def test_what_was_chosen_in_the_menu_is_said_and_taken_away(
        self, choose: Callable[[Path, str], None] | None, machine: Machine
    ) -> None:
        """``overruled`` says it; where the plan is pinned, or to take over, ``boot_arm`` undoes it."""
        if choose is None:
            pytest.skip("override 'choose' where the loader keeps what was chosen in its menu")
        plan = machine.plan(OLD, MIDDLE, NEW)
        machine.bring(plan)
        for pinned in (True, False):
            choose(machine.esp.mountpoint, OLD)
            assert machine.probe().overruled, (
                f"{OLD} was chosen in the loader's menu, and boot_probe says nothing of it: say in "
                "BootState.overruled what comes before the configuration"
            )
            machine.call_arm(replace(plan, pinned=pinned, take_over=not pinned))
            when = f"the plan is {'pinned' if pinned else 'to take over'}, and boot_arm was called"
            overruled = machine.probe().overruled
            assert not overruled, (
                f"{when}, and boot_probe says {overruled!r}: take away what was chosen in the menu"
            )
            machine.check_start(NEW, when)

    # --- probe --------------------------------------------------------------------------------------

    def test_probe_sees_an_esp_without_the_loader(self, machine: Machine, tmp_path: Path) -> None:
        """Empty, or with another system's loader: None."""
        other = replace(machine.esp, mountpoint=tmp_path / "other")
        other.mountpoint.mkdir()
        state = machine.hooks.boot_probe(esp=other)
        assert state is None, f"boot_probe claims an empty ESP: it must return None, not {state}"
        made = sorted(path.name for path in other.mountpoint.iterdir())
        assert not made, f"boot_probe has made {made} on an empty ESP: it only looks"
        _put(other.mountpoint, [*FOREIGN, _ANOTHER_LOADER])
        state = machine.hooks.boot_probe(esp=other)
        assert state is None, (
            f"boot_probe claims an ESP that carries another loader as {_ANOTHER_LOADER}: look for "
            "something that only this loader has"
        )

    def test_probe_sees_what_is_there(self, machine: Machine) -> None:
        """Firmware, kernels, default."""
        plan = machine.plan(OLD, MIDDLE, NEW, default=MIDDLE)
        machine.bring(plan)
        state = machine.probe()
        assert set(state.kernels) == {OLD, MIDDLE, NEW} and len(state.kernels) == len(
            plan.kernels
        ), (
            f"the ESP has {[kernel.version for kernel in plan.kernels]}, "
            f"boot_probe says {state.kernels}: name each version once "
            "that has its kernel, its initrd and an entry"
        )
        assert state.default == MIDDLE, (
            f"{MIDDLE} is the default, boot_probe says {state.default}: read it from the configuration"
        )
        assert set(state.firmware) <= set(machine.hooks.boot_firmware()), (
            f"boot_probe says {state.firmware}, boot_firmware {machine.hooks.boot_firmware()}: name only "
            "what boot_firmware names"
        )
        assert state.firmware, (
            "boot_probe names no firmware: None says that the loader is not there"
        )

    def test_probe_sees_what_is_missing(self, machine: Machine) -> None:
        """A version without its kernel or its initrd is not complete."""
        plan = machine.plan(OLD, MIDDLE, NEW)
        tree = machine.bring(plan)
        sources = {source: target for target, source in tree.copies.items()}
        _, middle, old = plan.kernels
        (machine.esp.mountpoint / sources[middle.initrd]).unlink()
        (machine.esp.mountpoint / sources[old.vmlinuz]).unlink()
        state = machine.probe()
        assert list(state.kernels) == [NEW], (
            f"{MIDDLE} lacks its initrd and {OLD} its kernel, boot_probe says that {state.kernels} are "
            "complete: look whether both files are there"
        )

    @_may_refuse
    def test_probe_writes_nothing(self, machine: Machine) -> None:
        """The ESP is perhaps mounted read-only, and perhaps nothing was rendered yet."""
        self._probe_only_looks(machine, "has the loader and no menu yet")
        machine.bring(machine.plan(OLD, MIDDLE, NEW))
        self._probe_only_looks(machine, "has its menu")
        machine.bring(machine.plan(OLD, MIDDLE, NEW, next_boot=OLD))
        self._probe_only_looks(machine, "has a next boot")

    @staticmethod
    def _probe_only_looks(machine: Machine, what: str) -> None:
        root = machine.esp.mountpoint
        before = _contents(root), _folders(root)
        machine.probe()
        assert (_contents(root), _folders(root)) == before, (
            f"the ESP {what}, and boot_probe has written there: it only looks, and makes no folder"
        )

    @pytest.mark.parametrize(
        "rubbish",
        [b"", b"\0" * 512, b"\xff" * 512, b"\xff\xfe\r\n\x80 {{{ ' \"", b"=\n\n \n-", None],
        ids=["empty", "zeros", "ones", "odd", "lines", "half"],
    )
    def test_probe_survives_rubbish(self, rubbish: bytes | None, machine: Machine) -> None:
        """What a crash has spoilt, be it the configuration or what is armed, a refresh repairs."""
        root = machine.esp.mountpoint
        before = set(_contents(root))
        tree = machine.bring(machine.plan(OLD, NEW))
        with contextlib.suppress(Unsupported):
            machine.bring(machine.plan(OLD, NEW, next_boot=OLD))
        written = {*map(PurePosixPath, set(_contents(root)) - before), *tree.texts}
        for path in written - set(tree.copies):
            there = (root / path).read_bytes()
            (root / path).write_bytes(there[: len(there) // 2] if rubbish is None else rubbish)
        try:
            machine.hooks.boot_probe(esp=machine.esp)
        except Exception as error:
            raise AssertionError(
                f"boot_probe fails where files of its own are spoilt: {error}; it returns what it finds"
            ) from error


def _minds_macros(machine: Machine) -> bool:
    """Whether boot_render writes a macro in a command line otherwise than plain text, or refuses it."""

    def as_it_is(argument: str) -> bool:
        plan = replace(machine.plan(NEW), cmdline=f"root=/dev/vda1 {argument}")
        with contextlib.suppress(ProviderError):
            return any(argument.encode() in text for text in machine.render(plan).texts.values())
        return False

    return as_it_is("a=ARCH") and not as_it_is(_MACRO)


def _put(root: Path, names: Sequence[str]) -> None:
    """Files that say whose they are not."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}, of somebody else\n")


def _contents(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below, with what is in it and when it was written."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def _folders(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_dir()}


def _as_lists(tree: BootTree) -> tuple[object, ...]:
    """With its order, which mappings do not compare."""
    return list(tree.copies.items()), list(tree.texts.items()), list(tree.owned)


def _listed(paths: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, paths)))

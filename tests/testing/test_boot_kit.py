"""The boot kit passes a good loader, and catches each seeded bug with a sentence about it."""

import contextlib
import datetime as dt
import inspect
import itertools
import os
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pytest

from pvefw.api import replace_file
from pvefw.core.binding import bind_object
from pvefw.core.errors import ProviderError, PvefwError, Unsupported
from pvefw.core.families import BOOTLOADER
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import BootState, BootTree, Firmware
from pvefw.core.settings import setting
from pvefw.testing.boot import BootloaderConformance, Machine, Started, bring, check_paths, matches
from pvefw.testing.esp import EspDirectory
from pvefw.testing.fakes import FakeTask, fake_esp

LOADER = "EFI/kit/kit.efi"
MENU = PurePosixPath("kit/menu")
ONCE = "kit/once"
FALLBACK = "EFI/BOOT/BOOTX64.EFI"


def folder(version):
    return PurePosixPath("kit") / f"k-{version.replace('+', '@')}"


@dataclass
class Good:
    """A loader whose menu has a line for the default and one for each kernel."""

    colour: str = setting(help="Of the menu.", default="red")

    @hookimpl
    def boot_firmware(self):
        return [Firmware.UEFI]

    @hookimpl
    def boot_probe(self, esp):
        if not (esp.mountpoint / LOADER).exists():
            return None
        default, entries = read_menu(esp.mountpoint)
        once = esp.mountpoint / ONCE
        return BootState(
            firmware=[Firmware.UEFI],
            kernels=[
                version
                for version, started in entries.items()
                if (esp.mountpoint / started.kernel).exists()
                and (esp.mountpoint / started.initrd).exists()
            ],
            default=default,
            next_boot=once.read_text(errors="replace") if once.exists() else None,
        )

    @hookimpl
    def boot_install(self, esp):
        with passed_on():
            replace_file(esp.mountpoint / LOADER, b"the loader")

    @hookimpl
    def boot_render(self, esp, plan):
        for kernel in plan.kernels:
            if not re.fullmatch(r"\d[\w.+~-]*\w\+?", kernel.version):
                raise ProviderError(f"{kernel.version!r} is no version")
        if len({kernel.version.lower() for kernel in plan.kernels}) < len(plan.kernels):
            raise ProviderError("two kernels have one name")
        if {"\n", "\0"} & set(plan.cmdline):
            raise ProviderError("the command line has two lines")
        if {"\n", "\r", "\0"} & set(plan.title):
            raise ProviderError("the title has two lines")
        copies = {}
        lines = [f"default|{plan.default}", f"# {plan.title}"]
        for kernel in plan.kernels:
            at = folder(kernel.version)
            copies |= {at / "linux": kernel.vmlinuz, at / "initrd": kernel.initrd}
            lines.append(f"{kernel.version}|{at}/linux|{at}/initrd|{plan.cmdline}")
        text = "\n".join(lines).encode() + b"\n"
        return BootTree(copies, {MENU: text}, ["kit/k-*/linux", "kit/k-*/initrd"])

    @hookimpl
    def boot_arm(self, esp, plan):
        with passed_on():
            if plan.next_boot is None:
                (esp.mountpoint / ONCE).unlink(missing_ok=True)
            else:
                (esp.mountpoint / ONCE).write_text(plan.next_boot)


@contextlib.contextmanager
def passed_on():
    """What the system says, as a ProviderError."""
    try:
        yield
    except OSError as error:
        raise ProviderError(f"{error.filename}: {error.strerror}") from error


def install(root):
    (root / LOADER).parent.mkdir(parents=True, exist_ok=True)
    (root / LOADER).write_text("the loader")


def read_menu(root):
    """The default, and what is started for each version."""
    default, entries = None, {}
    text = (root / MENU).read_bytes().decode(errors="replace") if (root / MENU).exists() else ""
    for line in text.splitlines():
        match line.split("|", 3):
            case ["default", version]:
                default = version
            case [version, kernel, initrd, cmdline]:
                entries[version] = Started(PurePosixPath(kernel), PurePosixPath(initrd), cmdline)
    return default, entries


def boots(root):
    """What this loader starts, and that it forgets what was to boot once."""
    if not (root / LOADER).exists():
        return None
    default, entries = read_menu(root)
    once = None
    if (root / ONCE).exists():
        once = (root / ONCE).read_text()
        (root / ONCE).unlink()
    return entries.get(once) or entries.get(default)


class TestGood(BootloaderConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def install(self):
        return install

    @pytest.fixture
    def boots(self):
        return boots


# --- seeded bugs ------------------------------------------------------------------------------------


def changing(change):
    """A loader whose tree is changed by a function of (tree, esp, plan)."""

    class Changed(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            return change(super().boot_render(esp, plan), esp, plan)

    return Changed


def edit(tree, *, copies=None, texts=None, owned=None):
    return BootTree(
        tree.copies if copies is None else copies,
        tree.texts if texts is None else texts,
        tree.owned if owned is None else owned,
    )


def owning(pattern):
    return changing(lambda tree, _esp, _plan: edit(tree, owned=[*tree.owned, pattern]))


def menu_edited(pattern, new, count=0):
    return changing(
        lambda tree, _esp, _plan: edit(
            tree,
            texts={MENU: re.sub(pattern, new, tree.texts[MENU], count=count, flags=re.MULTILINE)},
        )
    )


@dataclass
class Counts(Good):
    rendered: object = field(default_factory=itertools.count, init=False)

    @hookimpl
    def boot_render(self, esp, plan):
        tree = super().boot_render(esp, plan)
        return edit(tree, texts={MENU: tree.texts[MENU] + f"# {next(self.rendered)}\n".encode()})


def looks(tree, esp, _plan):
    return edit(
        tree, texts={MENU: tree.texts[MENU] + (b"# again\n" if esp.mountpoint.exists() else b"")}
    )


def keeps_what_is_edited(tree, esp, _plan):
    """A comment of the old menu's goes into the new one."""
    old = (esp.mountpoint / MENU).read_text() if (esp.mountpoint / MENU).exists() else ""
    edited = "7777-pve" if "7777" in old or "7.7.77" in old else ""
    return edit(tree, texts={MENU: tree.texts[MENU] + f"# {edited}\n".encode()})


def writes(tree, esp, _plan):
    (esp.mountpoint / "kit").mkdir(exist_ok=True)
    (esp.mountpoint / "kit/rendered").write_text("now")
    return tree


def forgets_one(tree, _esp, _plan):
    return edit(tree, copies=dict(list(tree.copies.items())[:-1]))


def in_flat_names(tree, _esp, _plan):
    """Kernels by the first three numbers of their versions."""
    short = {
        PurePosixPath(re.sub(r"(k-\d+\.\d+)[^/]*", r"\1", str(target))): source
        for target, source in tree.copies.items()
    }
    return edit(tree, copies=short)


def menu_from(build):
    """A loader with its kernels elsewhere: a function names the folder of a version."""

    class Elsewhere(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            tree = super().boot_render(esp, plan)
            copies, text = {}, tree.texts[MENU].decode()
            for kernel in plan.kernels:
                at = build(kernel.version)
                copies |= {at / "linux": kernel.vmlinuz, at / "initrd": kernel.initrd}
                text = text.replace(f"|{folder(kernel.version)}/", f"|{at}/")
            return edit(tree, copies=copies, texts={MENU: text.encode()})

    return Elsewhere


def in_place(tree, _esp, plan):
    """The default's kernel under one name: old menus refer to it, too."""
    at = PurePosixPath("kit/k-default")
    [default] = [kernel for kernel in plan.kernels if kernel.version == plan.default]
    text = tree.texts[MENU].replace(f"|{folder(plan.default)}/".encode(), f"|{at}/".encode())
    copies = {at / "linux": default.vmlinuz, at / "initrd": default.initrd}
    copies |= {
        target: source
        for target, source in tree.copies.items()
        if f"/k-{plan.default}/" not in f"/{target}"
    }
    return edit(tree, copies=copies, texts={MENU: text})


class TwoTexts(Good):
    """Each entry in a text of its own; the menu names the default's before that is there."""

    order = (MENU, PurePosixPath("kit/k-entry"))

    @hookimpl
    def boot_render(self, esp, plan):
        tree = super().boot_render(esp, plan)
        lines = tree.texts[MENU].splitlines(keepends=True)
        texts = {MENU: lines[0]}
        for line in lines[1:]:
            texts[folder(line.split(b"|")[0].decode()) / "entry"] = line
        return edit(tree, texts=texts, owned=[*tree.owned, "kit/k-*/entry"])


def boots_two_texts(root):
    with_entries = (root / MENU).read_bytes() if (root / MENU).exists() else b""
    for path in root.glob("kit/k-*/entry"):
        with_entries += path.read_bytes()
    joined = root.parent / "joined"
    (joined / "kit").mkdir(parents=True, exist_ok=True)
    (joined / MENU).write_bytes(with_entries)
    default, entries = read_menu(joined)
    return entries.get(default)


class ArmsNothing(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        pass


class ArmsForEver(Good):
    """Writes the default of its menu anew."""

    @hookimpl
    def boot_arm(self, esp, plan):
        menu = esp.mountpoint / MENU
        menu.write_bytes(
            re.sub(rb"default.*", f"default|{plan.next_boot}".encode(), menu.read_bytes())
        )

    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        return state and BootState(state.firmware, state.kernels, state.default, state.default)


class NeverDisarms(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        if plan.next_boot is not None:
            (esp.mountpoint / ONCE).write_text(plan.next_boot)


class ProbeIsBlind(Good):
    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        return state and BootState(state.firmware, state.kernels, state.default)


class ProbeClaimsAll(Good):
    @hookimpl
    def boot_probe(self, esp):
        return super().boot_probe(esp) or BootState([Firmware.UEFI], [])


class ProbeClaimsOthers(Good):
    @hookimpl
    def boot_probe(self, esp):
        if (esp.mountpoint / "EFI/BOOT/BOOTX64.EFI").exists():
            return BootState([Firmware.UEFI], [])
        return super().boot_probe(esp)


class ProbeTrustsTheMenu(Good):
    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        return state and BootState(
            state.firmware, list(read_menu(esp.mountpoint)[1]), state.default, state.next_boot
        )


class ProbeWrites(Good):
    @hookimpl
    def boot_probe(self, esp):
        if (esp.mountpoint / MENU).exists():
            (esp.mountpoint / "kit/probed").write_text("now")
        return super().boot_probe(esp)


class ProbeStumbles(Good):
    @hookimpl
    def boot_probe(self, esp):
        if (esp.mountpoint / MENU).exists():
            (esp.mountpoint / MENU).read_text().split("default|")[1]
        return super().boot_probe(esp)


class Credulous(Good):
    """Believes that versions and command lines are harmless."""

    @hookimpl
    def boot_render(self, esp, plan):
        copies, lines = {}, [f"default|{plan.default}"]
        for kernel in plan.kernels:
            at = folder(kernel.version)
            copies |= {at / "linux": kernel.vmlinuz, at / "initrd": kernel.initrd}
            lines.append(f"{kernel.version}|{at}/linux|{at}/initrd|{plan.cmdline}")
        text = "\n".join(lines).encode()
        return BootTree(copies, {MENU: text}, ["kit/k-*/linux", "kit/k-*/initrd"])


class InstallWipes(Good):
    """Begins with an empty EFI/."""

    @hookimpl
    def boot_install(self, esp):
        shutil.rmtree(esp.mountpoint / "EFI", ignore_errors=True)
        install(esp.mountpoint)


class InstallFormats(Good):
    @hookimpl
    def boot_install(self, esp):
        for path in esp.mountpoint.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        install(esp.mountpoint)


class InstallWipesKernels(Good):
    """Leaves others alone, and takes what it rendered itself."""

    @hookimpl
    def boot_install(self, esp):
        shutil.rmtree(esp.mountpoint / "kit", ignore_errors=True)
        install(esp.mountpoint)


class InstallResetsTheMenu(Good):
    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)
        (esp.mountpoint / MENU).parent.mkdir(exist_ok=True)
        (esp.mountpoint / MENU).write_text("# an empty menu")


class InstallOverwrites(Good):
    """Takes the file of a neighbour for its own."""

    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)
        (esp.mountpoint / "EFI/debian/shimx64.efi").write_text("ours")


class InstallDeletesOnTheSecondTime(Good):
    @hookimpl
    def boot_install(self, esp):
        if (esp.mountpoint / LOADER).exists():
            shutil.rmtree(esp.mountpoint / "EFI")
        install(esp.mountpoint)


class InstallsOnlyOnce(Good):
    @hookimpl
    def boot_install(self, esp):
        if (esp.mountpoint / LOADER).exists():
            raise ProviderError("EFI/kit: File exists")
        install(esp.mountpoint)


class InstallTakesTheFallback(Good):
    """Puts a copy where firmware looks by itself, whoever is there."""

    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)
        (esp.mountpoint / FALLBACK).parent.mkdir(parents=True, exist_ok=True)
        (esp.mountpoint / FALLBACK).write_text("the loader")


class InstallTakesItWhereFree(Good):
    """Not a bug: what is there of others stays, and the loader is found by its boot entry."""

    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)
        fallback = esp.mountpoint / FALLBACK
        if not fallback.exists() or fallback.read_text() == "the loader":
            fallback.parent.mkdir(parents=True, exist_ok=True)
            fallback.write_text("the loader")


class InstallAsksForTheFallback(Good):
    """Not a bug either: it can live nowhere else, and refuses."""

    @hookimpl
    def boot_install(self, esp):
        fallback = esp.mountpoint / FALLBACK
        if fallback.exists() and fallback.read_text() != "the loader":
            raise ProviderError(f"{FALLBACK} belongs to another loader")
        InstallTakesItWhereFree.boot_install(self, esp)


class InstallNeedsItsFolderNew(Good):
    @hookimpl
    def boot_install(self, esp):
        (esp.mountpoint / "EFI/kit").mkdir(parents=True)
        install(esp.mountpoint)


class InstallAppends(Good):
    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)
        with (esp.mountpoint / "EFI/kit/kit.conf").open("a") as settings:
            settings.write("timeout 3\n")


class CannotDisarm(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        (esp.mountpoint / ONCE).write_text(plan.next_boot)


class DisarmsOnlyWhatIsArmed(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        if plan.next_boot is None:
            (esp.mountpoint / ONCE).unlink()
        super().boot_arm(esp, plan)


class RefusesToDisarm(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        if plan.next_boot is None:
            raise Unsupported("nothing is to boot once")
        super().boot_arm(esp, plan)


class QuotesMacrosOfArgumentsOnly(Good):
    """Its menu has macros; it minds that in command lines, and forgets it in titles."""

    @hookimpl
    def boot_render(self, esp, plan):
        cmdline = plan.cmdline.replace("${", "$${")
        return super().boot_render(esp, replace(plan, cmdline=cmdline))


class RefusesMacrosInArgumentsOnly(Good):
    @hookimpl
    def boot_render(self, esp, plan):
        if "${" in plan.cmdline:
            raise ProviderError("the command line has a macro")
        return super().boot_render(esp, plan)


class InstallsElsewhere(Good):
    @hookimpl
    def boot_install(self, esp):
        (esp.mountpoint / "EFI/elsewhere").mkdir(parents=True, exist_ok=True)
        (esp.mountpoint / "EFI/elsewhere/kit.efi").write_text("the loader")


class KeepsAnotherOrder(Good):
    """The menu's last entry is the latest kernel."""

    @hookimpl
    def boot_render(self, esp, plan):
        return super().boot_render(esp, replace(plan, kernels=plan.kernels[::-1]))


class HidesItsOrder(KeepsAnotherOrder):
    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        return state and replace(state, kernels=state.kernels[::-1])


def first_or_default(root):
    """A loader that boots the menu's first complete entry where the default is gone."""
    _, entries = read_menu(root)
    there = [entry for entry in entries.values() if (root / entry.kernel).exists()]
    started = boots(root)
    return started if started and (root / started.kernel).exists() else next(iter(there), None)


def dated(stamp):
    def with_date(tree, _esp, _plan):
        return edit(tree, texts={MENU: tree.texts[MENU] + f"# of {stamp()}\n".encode()})

    return changing(with_date)


class ArmsWithATemporaryFile(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        (esp.mountpoint / f"{ONCE}.tmp").write_text(plan.next_boot or "")
        super().boot_arm(esp, plan)


class RefreshesOthers(Good):
    @hookimpl
    def boot_files(self, esp):
        there = (esp.mountpoint / FALLBACK).exists()
        return {PurePosixPath(FALLBACK): Path("/usr/lib/kit.efi")} if there else {}


class ArmsByPlace(Good):
    """What boots once is the number of a line in the menu."""

    @hookimpl
    def boot_arm(self, esp, plan):
        super().boot_arm(esp, plan)
        if plan.next_boot:
            versions = [kernel.version for kernel in plan.kernels]
            (esp.mountpoint / ONCE).write_text(str(versions.index(plan.next_boot)))

    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        versions = list(read_menu(esp.mountpoint)[1])
        return state and replace(
            state, next_boot=versions[int(state.next_boot)] if state.next_boot else None
        )


def by_place(root):
    """A loader that counts the lines of its menu."""
    once, versions = root / ONCE, list(read_menu(root)[1])
    if once.exists():
        once.write_text(versions[int(once.read_text())])
    return boots(root)


CHOSEN = "kit/chosen"


class Choosable(Good):
    """Not a bug: its menu keeps what somebody has chosen there, and that comes first."""

    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        chosen = esp.mountpoint / CHOSEN
        said = f"{chosen.read_text()} was chosen in the menu" if chosen.exists() else ""
        return state and replace(state, overruled=said)

    @hookimpl
    def boot_arm(self, esp, plan):
        super().boot_arm(esp, plan)
        if plan.pinned or plan.take_over:
            (esp.mountpoint / CHOSEN).unlink(missing_ok=True)


class SaysNothingOfChoices(Choosable):
    boot_probe = Good.boot_probe


class KeepsChoices(Choosable):
    boot_arm = Good.boot_arm


class KeepsChoicesForTakeOvers(Choosable):
    @hookimpl
    def boot_arm(self, esp, plan):
        super().boot_arm(esp, replace(plan, take_over=False))


def choose(root, version):
    (root / CHOSEN).write_text(version)


def boots_what_was_chosen(root):
    started, entries = boots(root), read_menu(root)[1]
    return entries[(root / CHOSEN).read_text()] if (root / CHOSEN).exists() else started


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Choosable, ""),
        (SaysNothingOfChoices, "say in BootState.overruled"),
        (KeepsChoices, "take away what was chosen in the menu"),
        (KeepsChoicesForTakeOvers, "take away what was chosen in the menu"),
    ],
)
def test_what_was_chosen_in_a_menu(plugin, said, tmp_path, monkeypatch):
    monkeypatch.setitem(GIVEN, "choose", choose)
    test = "test_what_was_chosen_in_the_menu_is_said_and_taken_away"
    failures = run_kit(plugin, tmp_path, boots_what_was_chosen, only=test)
    assert said in failures[test] if said else failures == {}


class InstallDeletesFirst(Good):
    @hookimpl
    def boot_install(self, esp):
        (esp.mountpoint / LOADER).unlink(missing_ok=True)
        super().boot_install(esp)


class InstallLeavesAFile(Good):
    @hookimpl
    def boot_install(self, esp):
        super().boot_install(esp)
        (esp.mountpoint / f"{LOADER}.new").write_bytes(b"the loader")


class InstallsInPlace(Good):
    @hookimpl
    def boot_install(self, esp):
        install(esp.mountpoint)


def keeps_the_time_out(tree, esp, _plan):
    """An administrator has edited it on the ESP, and may have done so on one of two only."""
    menu = esp.mountpoint / MENU
    old = re.search(r"^timeout\|(\d+)$", menu.read_text() if menu.exists() else "", re.MULTILINE)
    return edit(tree, texts={MENU: tree.texts[MENU] + f"timeout|{old[1] if old else 5}\n".encode()})


class ProbeTrustsWhatIsArmed(Good):
    @hookimpl
    def boot_probe(self, esp):
        once = esp.mountpoint / ONCE
        if once.exists():
            once.read_bytes().decode("ascii")
        return super().boot_probe(esp)


class ProbeTrustsLengths(Good):
    """What boots once has its length before it, where the loader writes it so."""

    @hookimpl
    def boot_probe(self, esp):
        data = (esp.mountpoint / ONCE).read_bytes() if (esp.mountpoint / ONCE).exists() else b""
        if len(data) > 300:
            data[1 : 1 + data[0]].decode()
        return super().boot_probe(esp)


class ProbeNeedsAWholeMenu(Good):
    @hookimpl
    def boot_probe(self, esp):
        menu = esp.mountpoint / MENU
        text = menu.read_bytes() if menu.exists() else b""
        if text.startswith(b"default|") and not text.endswith(b"\n"):
            raise ValueError("the menu is cut off")
        return super().boot_probe(esp)


class Packaged(Good):
    """Not a bug: a loader of two files, which come from the host."""

    package = None
    """Where the host has them; the fixture of that name makes them."""
    listed = copied = ("kit.efi", "menu.efi")

    @hookimpl
    def boot_install(self, esp):
        for name in self.copied:
            with passed_on():
                content = (self.package / name).read_bytes()
                replace_file(esp.mountpoint / "EFI/kit" / name, content)

    @hookimpl
    def boot_files(self, esp):
        known = {PurePosixPath("EFI/kit") / name: self.package / name for name in self.listed}
        return {target: source for target, source in known.items() if source.exists()}


class ForgetsAFile(Packaged):
    listed = ("kit.efi",)


class KnowsOneRelease(Packaged):
    """Takes for its own what the package has now."""

    @hookimpl
    def boot_files(self, esp):
        known = super().boot_files(esp)
        there = {target: esp.mountpoint / target for target in known}
        return {
            target: source
            for target, source in known.items()
            if there[target].exists() and there[target].read_bytes() == source.read_bytes()
        }


class ListsWhatIsGone(Packaged):
    @hookimpl
    def boot_files(self, esp):
        return {PurePosixPath("EFI/kit") / name: self.package / name for name in self.listed}


class InstallsWhatThereIs(Packaged):
    """Nothing, where the package is not there."""

    @hookimpl
    def boot_install(self, esp):
        for name in self.copied:
            if (self.package / name).exists():
                with passed_on():
                    content = (self.package / name).read_bytes()
                    replace_file(esp.mountpoint / "EFI/kit" / name, content)


class InstallsSilently(Good):
    @hookimpl
    def boot_install(self, esp):
        with contextlib.suppress(ProviderError):
            super().boot_install(esp)


class ArmsSilently(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        if plan.next_boot is None:
            super().boot_arm(esp, plan)
        with contextlib.suppress(OSError):
            replace_file(esp.mountpoint / ONCE, (plan.next_boot or "").encode())


class DisarmsSilently(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        with contextlib.suppress(*([] if plan.next_boot else [ProviderError])):
            super().boot_arm(esp, plan)


class DisarmsKernelsOfThePlan(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        once = esp.mountpoint / ONCE
        known = [kernel.version for kernel in plan.kernels]
        if plan.next_boot or (once.exists() and once.read_text() in known):
            super().boot_arm(esp, plan)


class ProbeHidesWhatIsGone(Good):
    @hookimpl
    def boot_probe(self, esp):
        state = super().boot_probe(esp)
        return state and replace(
            state, next_boot=state.next_boot if state.next_boot in state.kernels else None
        )


class InstallKeepsWhatIsThere(Packaged):
    @hookimpl
    def boot_install(self, esp):
        if not (esp.mountpoint / "EFI/kit/menu.efi").exists():
            super().boot_install(esp)


def with_title(edited):
    """A menu with a line made of the title, without any check."""

    class Titled(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            tree = super().boot_render(esp, replace(plan, title="Proxmox"))
            return edit(tree, texts={MENU: tree.texts[MENU] + edited(plan).encode()})

    return Titled


TITLE_IN_THE_MENU = with_title(lambda plan: f"# {plan.title}\n")
TITLE_AS_AN_ENTRY = with_title(lambda plan: f"default|{plan.title[:7]}\n")


class NoOneShot(Good):
    """Not a bug: it can boot nothing once, and says so."""

    @hookimpl
    def boot_arm(self, plan):
        raise Unsupported("this loader boots nothing once")


class RefusesAndArms(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        super().boot_arm(esp, plan)
        raise Unsupported("this loader boots nothing once")


class RefusesAndBreaks(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        (esp.mountpoint / MENU).write_text("# spoilt")
        raise Unsupported("this loader boots nothing once")


class RefusesToRender(NoOneShot):
    @hookimpl
    def boot_render(self, esp, plan):
        if plan.next_boot:
            raise Unsupported("this loader boots nothing once")
        return super().boot_render(esp, plan)


def expanding(root):
    """A loader with macros: ``${ARCH}`` is what it runs on."""
    started = boots(root)
    return started and replace(started, cmdline=started.cmdline.replace("${ARCH}", "x86-64"))


class NoRender:
    @hookimpl
    def boot_firmware(self):
        return [Firmware.UEFI]


class NoFirmware(Good):
    @hookimpl
    def boot_firmware(self):
        return []


@dataclass
class NoHelp(Good):
    colour: str = "red"


def cases(test):
    """The arguments that a test is parametrized with, one mapping per run."""
    runs = [{}]
    for mark in getattr(test, "pytestmark", []):
        names, values = mark.args
        names = [part.strip() for part in names.split(",")] if isinstance(names, str) else names
        rows = [row if len(names) > 1 else (row,) for row in values]
        runs = [run | dict(zip(names, row, strict=True)) for run in runs for row in rows]
    return runs


GIVEN = {"choose": None}
"""What the fixtures that an author may override return."""


def run_kit(plugin_class, folder, reader, only="test_"):
    """Run the kit's tests by hand; the first failure of each that fails."""
    kit = BootloaderConformance()
    failures = {}
    number = itertools.count()
    for name, test in inspect.getmembers(kit, inspect.ismethod):
        if not name.startswith(only):
            continue
        for arguments in cases(test):
            place = folder / str(next(number))
            place.mkdir()
            patch = pytest.MonkeyPatch()
            try:
                plugin = plugin_class()
                bound = BootloaderConformance.bound.__wrapped__(kit, plugin)
                make = BootloaderConformance.machine.__wrapped__
                available = {
                    "plugin": plugin,
                    "bound": bound,
                    "machine": make(kit, place, place / "host", bound, reader, install, FakeTask()),
                    "tmp_path": place,
                    "monkeypatch": patch,
                    **GIVEN,
                    **arguments,
                }
                test(
                    **{
                        parameter: available[parameter]
                        for parameter in inspect.signature(test).parameters
                    }
                )
            except pytest.skip.Exception:
                continue
            except (AssertionError, PvefwError) as error:
                failures.setdefault(name, str(error))
            finally:
                patch.undo()
    return failures


def test_a_good_loader_passes(tmp_path):
    assert run_kit(Good, tmp_path, boots) == {}


class AsciiTitles(Good):
    @hookimpl
    def boot_render(self, esp, plan):
        title = plan.title.encode("ascii", "ignore").decode()
        return super().boot_render(esp, replace(plan, title=title))


@pytest.mark.parametrize(
    ("plugin", "expands", "caught"),
    [(Good, False, False), (Good, True, True), (AsciiTitles, False, True)],
)
def test_a_title_that_the_loader_reads_otherwise_is_caught(plugin, expands, caught, tmp_path):
    """Where ``boots`` reads the menu, too."""

    def reader(root):
        started, lines = boots(root), (root / MENU).read_text().splitlines()
        title = next(line for line in lines if line.startswith("# "))
        shown = re.sub(r"\$\{[^}]*\}", "", title) if expands else title
        return started and replace(started, title=shown)

    failures = run_kit(plugin, tmp_path, reader, only="test_hostile_titles")
    said = "quote the title for the loader" in failures.get("test_hostile_titles", "")
    assert said is caught, failures


OWN_LOADER = owning("EFI/*/*")
OWN_ENTRIES = owning("loader/entries/*.conf")
OWN_ONCE = owning(ONCE)
OWN_OUTSIDE = owning("../*")
OWN_LITTLE = changing(lambda tree, _esp, _plan: edit(tree, owned=["kit/k-*/linux"]))
ABSOLUTE = menu_from(lambda version: PurePosixPath("/") / folder(version))
ESCAPING = menu_from(lambda version: PurePosixPath("../kit") / folder(version).name)
UNLIKE_VFAT = menu_from(lambda version: PurePosixPath(f"kit/k-{version}:1"))
LONG = menu_from(lambda version: PurePosixPath(f"kit/k-{version:x<300}"))


@pytest.mark.parametrize(
    ("bug", "test", "sentence"),
    [
        (NoRender, "core_accepts_it", "core refuses the plugin"),
        (NoFirmware, "core_accepts_it", "boot_firmware names nothing"),
        (NoHelp, "settings_have_help", "the setting colour has no help"),
        (Counts, "rendering_is_repeatable", "two different trees for the same arguments"),
        (changing(looks), "rendering_looks_at_no_esp", "only its uuid may decide anything"),
        (changing(writes), "rendering_writes_nothing", "boot_render has written"),
        (ABSOLUTE, "paths_fit_on_an_esp", "leads out of the ESP"),
        (ESCAPING, "paths_fit_on_an_esp", "leads out of the ESP"),
        (UNLIKE_VFAT, "paths_fit_on_an_esp", "cannot be on vfat"),
        (LONG, "paths_fit_on_an_esp", "too long for vfat"),
        (OWN_OUTSIDE, "paths_fit_on_an_esp", "leaves its folder"),
        (changing(forgets_one), "every_kernel_is_copied", "a menu must offer every kernel"),
        (Credulous, "hostile_versions", "cannot be on vfat"),
        (Credulous, "hostile_command_lines", "raise a ProviderError for what cannot be written"),
        (Credulous, "kernels_that_vfat_cannot_tell_apart", "does not tell upper from lower case"),
        (changing(in_flat_names), "the_default_boots", "which is not in the tree"),
        (
            menu_edited(rb"^default.*", b"default|6.8.12-4-pve"),
            "the_default_boots",
            "the default is",
        ),
        (menu_edited(rb"linux\|", b"vmlinuz|"), "the_default_boots", "which is not in the tree"),
        (menu_edited(rb"\|root=.*", b"|quiet"), "the_default_boots", "and the plan says"),
        (menu_edited(rb"['\"]", b""), "the_command_line_arrives", "quote it for the loader"),
        (menu_edited(rb"pve2$", b"pve"), "odd_versions_boot", "6.8.12-4-pve2 should boot"),
        (OWN_LOADER, "files_of_others_stay", "own only what boot_render itself has put there"),
        (OWN_ENTRIES, "files_of_others_stay", "own only what boot_render itself has put there"),
        (OWN_LITTLE, "own_files_go", "'owned' must match every file that an earlier tree had"),
        (changing(in_place), "something_boots_wherever_core_is_stopped", "mind the order"),
        (ArmsNothing, "the_next_boot_happens_once", "core would arm it at every refresh"),
        (ArmsForEver, "the_next_boot_happens_once", "it must not need anybody to disarm it"),
        (ArmsForEver, "a_refresh_keeps_what_is_armed", "the next refresh would undo it"),
        (OWN_ONCE, "a_refresh_keeps_what_is_armed", "then the tree was brought there again"),
        (NeverDisarms, "a_next_boot_can_be_withdrawn", "the next boot was withdrawn"),
        (ProbeIsBlind, "the_next_boot_happens_once", "core would arm it at every refresh"),
        (ProbeClaimsAll, "probe_sees_an_esp_without_the_loader", "claims an empty ESP"),
        (ProbeClaimsOthers, "probe_sees_an_esp_without_the_loader", "carries another loader"),
        (ProbeTrustsTheMenu, "probe_sees_what_is_missing", "are complete"),
        (ProbeWrites, "probe_writes_nothing", "it only looks"),
        (ProbeStumbles, "probe_survives_rubbish", "files of its own are spoilt"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, test, sentence, tmp_path):
    assert sentence in run_kit(bug, tmp_path, boots, only=f"test_{test}")[f"test_{test}"]


@pytest.mark.parametrize(
    ("bug", "test", "sentence"),
    [
        (InstallsOnlyOnce, "installing_leaves_what_others_have", "replace what is there"),
        (InstallsOnlyOnce, "installing_keeps_the_kernels", "replace what is there"),
        (InstallWipes, "installing_leaves_what_others_have", "an ESP is shared"),
        (InstallFormats, "installing_leaves_what_others_have", "an ESP is shared"),
        (
            InstallDeletesOnTheSecondTime,
            "installing_leaves_what_others_have",
            "called again, deletes",
        ),
        (InstallOverwrites, "installing_leaves_what_others_have", "use a folder of your own"),
        (InstallsElsewhere, "installing_leaves_what_others_have", "boot_probe does not see it"),
        (InstallWipesKernels, "installing_keeps_the_kernels", "called on an ESP that boots"),
        (InstallResetsTheMenu, "installing_keeps_the_kernels", "called on an ESP that boots"),
        (TITLE_IN_THE_MENU, "hostile_titles", "became a line of its own"),
        (TITLE_AS_AN_ENTRY, "hostile_titles", "the title is"),
        (RefusesAndArms, "the_next_boot_happens_once", "arm nothing then"),
        (RefusesAndBreaks, "the_next_boot_happens_once", "the default must be unharmed"),
        (RefusesToRender, "the_next_boot_happens_once", "raise Unsupported in boot_arm"),
    ],
)
def test_each_bug_of_the_second_round_is_caught(bug, test, sentence, tmp_path):
    assert sentence in run_kit(bug, tmp_path, boots, only=f"test_{test}")[f"test_{test}"]


@pytest.mark.parametrize(
    ("bug", "test", "sentence"),
    [
        (changing(keeps_what_is_edited), "rendering_looks_at_no_esp", "had edited the ESP"),
        (InstallTakesTheFallback, "installing_leaves_the_loader_of_others", "who boots from it"),
        (
            InstallNeedsItsFolderNew,
            "installing_leaves_what_others_have",
            "replace what is your own",
        ),
        (InstallLeavesAFile, "installing_leaves_what_others_have", "leaves EFI/kit/kit.efi.new"),
        (InstallAppends, "installing_leaves_what_others_have", "write your files as a whole"),
        (CannotDisarm, "nothing_is_armed_where_nothing_was", "take away what is armed"),
        (DisarmsOnlyWhatIsArmed, "nothing_is_armed_where_nothing_was", "do nothing"),
        (RefusesToDisarm, "nothing_is_armed_where_nothing_was", "raises Unsupported"),
        (RefusesToDisarm, "a_next_boot_can_be_withdrawn", "take away what is armed"),
        (QuotesMacrosOfArgumentsOnly, "hostile_titles", "quote it in both"),
        (RefusesMacrosInArgumentsOnly, "hostile_titles", "quote it in both"),
    ],
)
def test_each_bug_of_the_third_round_is_caught(bug, test, sentence, tmp_path):
    assert sentence in run_kit(bug, tmp_path, boots, only=f"test_{test}")[f"test_{test}"]


CUT = menu_edited(rb"(\|root=.{200}).*", rb"\1")


@pytest.mark.parametrize(
    ("bug", "test", "sentence"),
    [
        (KeepsAnotherOrder, "the_menu_has_the_order_of_the_plan", "write the menu in the order"),
        (HidesItsOrder, "the_menu_has_the_order_of_the_plan", "instead of the latest kernel"),
        (dated(time.time), "rendering_needs_no_clock", "leave date and time out"),
        (dated(lambda: time.strftime("%d")), "rendering_needs_no_clock", "leave date and time"),
        (dated(lambda: dt.date.today()), "rendering_needs_no_clock", "leave date"),  # noqa: DTZ011, PLW0108 - the bug
        (dated(lambda: f"{dt.datetime.now(dt.UTC):%d}"), "rendering_needs_no_clock", "leave date"),
        (CUT, "a_long_command_line_arrives", "write it as a whole"),
        (ArmsWithATemporaryFile, "arming_leaves_nothing_behind", "kit/once.tmp"),
        (RefreshesOthers, "files_of_another_loader_are_not_refreshed", "another loader's here"),
        (InstallDeletesFirst, "something_boots_wherever_installing_is_stopped", "deletes EFI/kit"),
        (
            InstallsInPlace,
            "something_boots_wherever_installing_is_stopped",
            "empties EFI/kit/kit.efi",
        ),
        (menu_edited(rb"(\d+-pve/)initrd", rb"\1linux"), "the_default_boots", "with the initrd"),
    ],
)
def test_each_bug_of_the_fourth_round_is_caught(bug, test, sentence, tmp_path):
    test = f"test_{test}"
    assert sentence in run_kit(bug, tmp_path, first_or_default, only=test)[test]


def cuts(length):
    """A loader that takes so many characters of a version, or of the folder of one."""

    def reader(root):
        default, entries = read_menu(root)
        cut = {version[:length]: started for version, started in entries.items()}
        return cut.get((default or "")[:length])

    return reader


def cuts_lines(root):
    """A loader that wants per cent signs doubled, and has room for 600 characters of them."""
    started = boots(root)
    cmdline = started.cmdline.replace("%", "%%")[:600].replace("%%", "%") if started else ""
    return started and replace(started, cmdline=cmdline)


def cuts_bytes(root):
    """A loader whose lines have 2100 bytes, whatever those mean."""
    started = boots(root)
    cut = started.cmdline.encode()[:2100].decode(errors="ignore") if started else ""
    return started and replace(started, cmdline=cut)


def joins_lines(root):
    """A loader to which a backslash at the end of a line says that the next one belongs to it."""
    menu = root / MENU
    if menu.exists():
        menu.write_bytes(menu.read_bytes().replace(b"\\\n", b""))
    return boots(root)


@pytest.fixture
def package(tmp_path, monkeypatch):
    made = tmp_path / "package"
    made.mkdir()
    for name in Packaged.copied:
        (made / name).write_text(f"the loader's {name}")
    monkeypatch.setattr(Packaged, "package", made)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("bug", "reader", "test", "sentence"),
    [
        (changing(keeps_the_time_out), boots, "rendering_looks_at_no_esp", "had edited the ESP"),
        (Good, cuts(31), "versions_that_differ_at_their_end_boot", "shorter ones of your own"),
        (Good, joins_lines, "the_command_line_arrives", "quote it for the loader"),
        (ArmsByPlace, by_place, "what_is_armed_is_no_place_in_the_menu", "by its version"),
        (ProbeTrustsWhatIsArmed, boots, "probe_survives_rubbish", "files of its own are spoilt"),
        (ProbeTrustsLengths, boots, "probe_survives_rubbish", "files of its own are spoilt"),
        (ProbeNeedsAWholeMenu, boots, "probe_survives_rubbish", "files of its own are spoilt"),
        (KeepsAnotherOrder, boots, "the_menu_has_the_order_of_the_plan", "the latest kernel first"),
        (KnowsOneRelease, boots, "what_a_later_release_has_is_refreshed", "what all releases have"),
        (Good, cuts_lines, "what_grows_when_it_is_quoted_arrives", "after quoting"),
        (Good, cuts_bytes, "what_grows_when_it_is_quoted_arrives", "look at the bytes"),
        (DisarmsKernelsOfThePlan, boots, "a_next_boot_goes_with_its_kernel", "whatever it names"),
        (ProbeHidesWhatIsGone, boots, "a_next_boot_goes_with_its_kernel", "core withdraws it then"),
        (ArmsSilently, boots, "what_cannot_be_armed_is_no_success", "-pve is not armed"),
        (DisarmsSilently, boots, "what_cannot_be_armed_is_no_success", "-pve is armed still"),
        (InstallsSilently, boots, "what_cannot_be_installed_is_no_success", "is read-only, and"),
        (
            InstallsWhatThereIs,
            boots,
            "what_cannot_be_installed_is_no_success",
            "are not on this host, and boot_install returns",
        ),
        (ForgetsAFile, boots, "what_is_installed_is_refreshed", "which boot_files does not list"),
        (
            ListsWhatIsGone,
            boots,
            "what_no_package_has_is_not_refreshed",
            "leave out what no package",
        ),
        (
            InstallKeepsWhatIsThere,
            boots,
            "installing_again_replaces_old_files",
            "replace your own files",
        ),
    ],
)
def test_each_bug_of_the_fifth_round_is_caught(bug, reader, test, sentence, tmp_path):
    test = f"test_{test}"
    assert sentence in run_kit(bug, tmp_path, reader, only=test)[test]


@pytest.mark.usefixtures("package")
def test_a_loader_of_several_files_passes(tmp_path):
    assert run_kit(Packaged, tmp_path, boots) == {}


@pytest.mark.parametrize("good", [InstallTakesItWhereFree, InstallAsksForTheFallback])
def test_a_loader_may_keep_out_of_the_way_of_others(good, tmp_path):
    assert run_kit(good, tmp_path, boots, only="test_installing") == {}


def test_macros_in_a_command_line_are_seen(tmp_path):
    test = "test_the_command_line_arrives"
    assert "quote it for the loader" in run_kit(Good, tmp_path, expanding, only=test)[test]


def test_a_loader_without_a_one_shot_passes(tmp_path):
    assert run_kit(NoOneShot, tmp_path, boots) == {}


class RefusesWhatIsHard(Good):
    """Not a bug: what it cannot write, it refuses; a plain line arrives."""

    @hookimpl
    def boot_render(self, esp, plan):
        if len(plan.cmdline) > 200 or set(plan.cmdline) & set("\"'$\\%ö"):
            raise ProviderError("the command line cannot be written to the menu")
        if any(len(kernel.version) > 40 for kernel in plan.kernels):
            raise ProviderError("a version is too long for the menu")
        return super().boot_render(esp, plan)


@pytest.mark.parametrize(
    "test",
    [
        "a_long_command_line_arrives",
        "the_command_line_arrives",
        "versions_that_differ_at_their_end_boot",
        "what_grows_when_it_is_quoted_arrives",
    ],
)
def test_a_loader_may_refuse_what_is_hard(test, tmp_path):
    assert run_kit(RefusesWhatIsHard, tmp_path, boots, only=f"test_{test}") == {}


def refusing_to_render(why, when):
    """A loader that fails where a function of (esp, plan) says so."""

    class Refuses(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            if when(esp, plan):
                raise ProviderError(why)
            return super().boot_render(esp, plan)

    return Refuses


def is_edited(esp, _plan):
    menu = esp.mountpoint / MENU
    return menu.exists() and b"7.7.77" in menu.read_bytes()


@pytest.mark.parametrize(
    ("why", "when", "test", "sentence"),
    [
        (
            "the menu is odd",
            is_edited,
            "rendering_looks_at_no_esp",
            "fails where somebody has edited the ESP (Refuses: the menu is odd)",
        ),
        (
            "no ESP",
            lambda esp, _plan: not esp.mountpoint.exists(),
            "rendering_looks_at_no_esp",
            "for an ESP that is not mounted (Refuses: no ESP)",
        ),
        (
            "odd",
            lambda _esp, plan: any("+" in kernel.version for kernel in plan.kernels),
            "odd_versions_boot",
            "is refused (Refuses: odd): kernels are called so",
        ),
        (
            "no",
            lambda _esp, plan: "root=" in plan.cmdline and "'" not in plan.cmdline,
            "the_command_line_arrives",
            "Refuses: no",
        ),
    ],
)
def test_what_may_not_be_refused(why, when, test, sentence, tmp_path):
    test = f"test_{test}"
    assert sentence in run_kit(refusing_to_render(why, when), tmp_path, boots, only=test)[test]


def test_a_menu_that_is_replaced_before_what_it_names(tmp_path):
    """The order of texts, with a loader that has several."""
    test = "test_something_boots_wherever_core_is_stopped"
    said = run_kit(TwoTexts, tmp_path, boots_two_texts, only=test)[test]
    assert "replaced kit/menu" in said and "mind the order" in said


def test_a_hook_that_fails_is_told_from_one_that_refuses(tmp_path):
    """A traceback is no way to refuse a hostile version."""

    class Fails(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            if any("/" in kernel.version for kernel in plan.kernels):
                raise ValueError
            return super().boot_render(esp, plan)

    failures = run_kit(Fails, tmp_path, boots, only="test_hostile_versions")
    assert "boot_render failed: ValueError" in failures["test_hostile_versions"]


# --- the kit's own parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "pattern", "does"),
    [
        ("a/b.conf", "a/*.conf", True),
        ("a/x/b.conf", "a/*.conf", False),
        ("a/x/b.conf", "a/*/b.conf", True),
        ("b.conf", "*", True),
        ("a/b.conf", "*", False),
    ],
)
def test_patterns(path, pattern, does):
    assert matches(PurePosixPath(path), pattern) is does


@pytest.mark.parametrize("name", ["a.", "a ", "a:b", "x" * 256, "a\nb", "../a", "/a"])
def test_paths_that_vfat_cannot_hold(name):
    with pytest.raises(AssertionError):
        check_paths([PurePosixPath("EFI") / name])


def test_folders_that_differ_in_case():
    with pytest.raises(AssertionError, match="upper from lower case"):
        check_paths([PurePosixPath("EFI/a/x"), PurePosixPath("efi/a/y")])


def test_bringing_a_tree_again_does_nothing(tmp_path):
    bound = bind_object(BOOTLOADER, Good(), "good")
    esp = fake_esp(tmp_path / "esp")
    esp.mountpoint.mkdir()
    machine = Machine(tmp_path / "host", esp, bound, boots, FakeTask())
    tree = machine.render(machine.plan("1-a", "2-a"))
    assert list(bring(esp.mountpoint, tree))
    assert list(bring(esp.mountpoint, tree)) == []
    assert not [path for path in Path(esp.mountpoint).rglob("*") if path.name.startswith(".")]


def test_an_esp_that_is_a_directory_is_kept_up_to_date(tmp_path):
    esp, old, new = EspDirectory(tmp_path), "6.5.13-6-pve", "6.8.4-3-pve"
    assert esp.probe(Good()) is None
    assert esp.sync(Good(), old, new)
    assert esp.sync(Good(), old, new) == []
    assert f"kit/k-{new}/linux" in esp.files
    state = esp.probe(Good())
    assert (state.default, state.next_boot, set(state.kernels)) == (new, None, {old, new})
    esp.sync(Good(), old, new, default=old, next_boot=new)
    state = esp.probe(Good())
    assert (state.default, state.next_boot) == (old, new)
    esp.sync(Good(), new)
    assert not [path for path in esp.files if old in path]
    assert esp.probe(Good()).next_boot is None


# --- what a fifth round of strangers has found ---------------------------------------------------------


class ProbeMakesItsFolder(Good):
    @hookimpl
    def boot_probe(self, esp):
        (esp.mountpoint / "kit").mkdir(exist_ok=True)
        return super().boot_probe(esp)


class JoinsWords(Good):
    @hookimpl
    def boot_render(self, esp, plan):
        return super().boot_render(esp, replace(plan, cmdline=" ".join(plan.cmdline.split())))


@pytest.mark.parametrize(
    ("plugin", "test", "sentence"),
    [
        (ProbeMakesItsFolder, "probe_sees_an_esp_without_the_loader", "it only looks"),
        (JoinsWords, "the_command_line_arrives", "quote it for the loader"),
    ],
)
def test_each_bug_of_the_hurried_is_caught(plugin, test, sentence, tmp_path):
    failures = run_kit(plugin, tmp_path, boots, only=f"test_{test}")
    assert sentence in failures[f"test_{test}"]


# --- what a sixth round of strangers has found ---------------------------------------------------------


class InstallLetsErrorsOut(Good):
    @hookimpl
    def boot_install(self, esp):
        replace_file(esp.mountpoint / LOADER, b"the loader")


class ArmLetsErrorsOut(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        if plan.next_boot is None:
            (esp.mountpoint / ONCE).unlink(missing_ok=True)
        else:
            replace_file(esp.mountpoint / ONCE, plan.next_boot.encode())


class ArmExits(Good):
    @hookimpl
    def boot_arm(self, esp, plan):
        try:
            super().boot_arm(esp, plan)
        except ProviderError as error:
            raise SystemExit(1) from error


class ProbeBegins(Good):
    """Writes a menu where there is none."""

    @hookimpl
    def boot_probe(self, esp):
        found = super().boot_probe(esp)
        if found and not (esp.mountpoint / MENU).exists():
            (esp.mountpoint / MENU).parent.mkdir(exist_ok=True)
            (esp.mountpoint / MENU).write_text("")
        return found


class ProbeMakesAFolder(Good):
    @hookimpl
    def boot_probe(self, esp):
        found = super().boot_probe(esp)
        if found:
            (esp.mountpoint / "kit/more").mkdir(parents=True, exist_ok=True)
        return found


class RemembersKernels(Good):
    @hookimpl
    def boot_render(self, esp, plan):
        tree = super().boot_render(esp, plan)
        self.known = {**getattr(self, "known", {}), **tree.copies}
        return edit(tree, copies=self.known)


class HasTenEntries(Good):
    @hookimpl
    def boot_render(self, esp, plan):
        return [super().boot_render(esp, plan)][len(plan.kernels) // 11]


def in_another_order(key):
    """A loader whose menu has an order of its own."""

    class Reorders(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            tree = super().boot_render(esp, plan)
            first, title, *lines = tree.texts[MENU].splitlines(keepends=True)
            return edit(tree, texts={MENU: b"".join([first, title, *sorted(lines, key=key)])})

    return Reorders


def boots_the_first(root):
    """As ``boots``, and the first entry that is there where the default is not."""
    default, entries = read_menu(root)
    there = [entry for entry in entries.values() if (root / entry.kernel).exists()]
    wanted = entries.get(default)
    return wanted if wanted in there else next(iter(there), None)


def with_title(title):
    """A loader that puts more than the plan into its menu."""

    class Adds(Good):
        @hookimpl
        def boot_render(self, esp, plan):
            return super().boot_render(esp, replace(plan, title=f"{plan.title} {title(plan)}"))

    return Adds


SIXTH = [
    (InstallLetsErrorsOut, boots, "what_cannot_be_installed_is_no_success", "catch OSError"),
    (ArmLetsErrorsOut, boots, "what_cannot_be_armed_is_no_success", "catch OSError"),
    (ArmExits, boots, "what_cannot_be_armed_is_no_success", "what is no ProviderError"),
    (ProbeBegins, boots, "probe_writes_nothing", "no menu yet"),
    (ProbeMakesAFolder, boots, "probe_writes_nothing", "makes no folder"),
    (RemembersKernels, boots, "every_kernel_is_copied", "remember none of an earlier plan"),
    (HasTenEntries, boots, "a_long_menu_boots", "render them all"),
    (
        in_another_order(lambda line: line.replace(b".1-", b".~-")),
        boots_the_first,
        "a_long_menu_boots",
        "neither a set nor sorted()",
    ),
    (with_title(lambda _: os.getpid()), boots, "rendering_needs_nothing_of_the_process", "process"),
    (with_title(lambda _: os.uname().release), boots, "rendering_needs_nothing_of_the_process", ""),
    (with_title(lambda _: Path.cwd().name), boots, "rendering_needs_nothing_of_the_process", ""),
    (
        with_title(lambda _: len(Path("/etc/passwd").read_bytes())),
        boots,
        "rendering_reads_below_the_root",
        "plan.root / 'etc/passwd'",
    ),
]


@pytest.mark.parametrize(("plugin", "reader", "test", "sentence"), SIXTH)
def test_each_bug_of_the_sixth_round_is_caught(plugin, reader, test, sentence, tmp_path):
    failures = run_kit(plugin, tmp_path, reader, only=f"test_{test}")
    assert sentence in failures[f"test_{test}"]


def test_what_is_below_the_root_may_be_read(tmp_path):
    """Also where the root's own path has such a folder in it."""
    plugin = with_title(
        lambda plan: (plan.root / "boot" / f"vmlinuz-{plan.default}").stat().st_size
    )
    assert run_kit(plugin, tmp_path, boots, only="test_rendering") == {}

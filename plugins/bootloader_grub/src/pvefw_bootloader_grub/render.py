"""The ``grub.cfg`` of a synced ESP, and the files it refers to.

The menu is that of grub-mkconfig, with its titles and ids, so that an administrator's ``GRUB_DEFAULT``
and habits stay right; it is written again from the plan and ``/etc/default/grub``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, BootTree, Esp, Kernel, check_versions
from pvefw_bootloader_grub import cmdline, custom, defaults, grubenv, memtest, scripts
from pvefw_bootloader_grub.menu import SIMPLE, Entry, Menu
from pvefw_bootloader_grub.script import Unbalanced, command, commands, quote
from pvefw_bootloader_grub.scripts import Changes

CONFIG = PurePosixPath("grub/grub.cfg")
ENVIRONMENT = PurePosixPath("grub/grubenv")
_EARLY = PurePosixPath("grub/early")
_BACKGROUND = "grub/background"
_READERS = {".png": "png", ".tga": "tga", ".jpg": "jpeg", ".jpeg": "jpeg"}
_OWNED = (
    "vmlinuz-[0-9]*",
    "initrd.img-[0-9]*",
    f"{_EARLY}/*",
    f"{_BACKGROUND}.*",
    str(custom.TARGET),
    *(str(target) for target in memtest.TARGETS),
)
_LONGEST = 2047
"""Bytes that a kernel reads of its command line; it cuts off the rest without a word."""
_UUID = re.compile(r"root=UUID=([0-9A-Fa-f-]+)")
_TERMINAL = re.compile(r"[a-z_][a-z0-9_]*")
_STYLES = ("menu", "countdown", "hidden")
_TRUE = {"true", "y", "yes"}

_NOT_HONOURED = {
    "GRUB_BUTTON_CMOS_ADDRESS": "there is one default for every power button",
    "GRUB_DEVICE": "root= in GRUB_CMDLINE_LINUX or /etc/kernel/cmdline says where the system is",
    "GRUB_DEVICE_UUID": "root= in GRUB_CMDLINE_LINUX or /etc/kernel/cmdline says where the system is",
    "GRUB_FONT": "GRUB's own font is used",
    "GRUB_THEME": "themes are not copied to ESPs; GRUB_BACKGROUND is",
    "GRUB_TOP_LEVEL": "a pin or GRUB_DEFAULT chooses the kernel",
}
"""Variables that an administrator sets for a visible reason, and what to do instead."""

_BEGIN = """\
# Written by pvefw. Every "pvefw boot refresh" replaces it; /etc/default/grub and grub.d decide.
"""
_ENVIRONMENT = """\
if [ -s $prefix/grubenv ]; then
  load_env next_entry saved_entry
fi
"""
_SAVED = """\
if [ -n "${saved_entry}" ]; then
  set default="${saved_entry}"
fi
"""
_ONE_SHOT = """\
if [ -n "${next_entry}" ]; then
  set taken_next_entry="${next_entry}"
  set next_entry=
  # What cannot be forgotten is not booted: it would be booted again and again.
  if save_env next_entry; then
    set default="${taken_next_entry}"
    set boot_once=true
    # What GRUB cannot load, or Secure Boot refuses, ended at the menu, with nobody there.
    set fallback=@FALLBACK@
    export fallback
  else
    echo 'The environment block cannot be written: booting the default.'
  fi
fi
export boot_once
"""
_SAVE_DEFAULT = """\
function savedefault {
  if [ -z "${boot_once}" ]; then
    set saved_entry="${chosen}"
    save_env saved_entry
  fi
}
"""
_FIRMWARE = """\
if [ "$grub_platform" = efi ]; then
  menuentry 'UEFI Firmware Settings' --id uefi-firmware {
    fwsetup
  }
fi
"""


def tree(esp: Esp, plan: BootPlan) -> BootTree:
    """Everything that GRUB wants on this ESP. See :meth:`BootloaderSpec.boot_render`."""
    check_versions(plan)
    settings, odd = defaults.read(plan.root)
    return _Rendering(esp, plan, settings, scripts.changes(plan.root), list(odd)).tree()


def menu_of(plan: BootPlan, settings: Mapping[str, str]) -> Menu:
    """The menu for a plan, without its default."""
    match = _UUID.search(plan.cmdline)
    root = match[1] if match else "pvefw"
    system = settings.get("GRUB_DISTRIBUTOR") or plan.title
    if "GRUB_DISTRIBUTOR" in settings and not scripts.is_whole_name(plan.root, system):
        system = f"{system} GNU/Linux"
    details = []
    for kernel in plan.kernels:
        title = f"{system}, with Linux {kernel.version}"
        details.append(_entry(kernel, title, f"gnulinux-{kernel.version}-advanced-{root}"))
        if settings.get("GRUB_DISABLE_RECOVERY") != "true":
            mode = settings.get("GRUB_RECOVERY_TITLE", "recovery mode")
            id_ = f"gnulinux-{kernel.version}-recovery-{root}"
            details.append(_entry(kernel, f"{title} ({mode})", id_))
    if settings.get("GRUB_DISABLE_SUBMENU") in _TRUE:
        return Menu(details)
    default = next(kernel for kernel in plan.kernels if kernel.version == plan.default)
    first = _entry(default, system, f"gnulinux-simple-{root}")
    submenu = Entry(f"Advanced options for {system}", f"gnulinux-advanced-{root}", children=details)
    return Menu([first, submenu])


def _entry(kernel: Kernel, title: str, id_: str) -> Entry:
    version = kernel.version
    return Entry(title, id_, linux=f"/vmlinuz-{version}", initrds=[f"/initrd.img-{version}"])


@dataclass
class _Rendering:
    esp: Esp
    plan: BootPlan
    settings: Mapping[str, str]
    changes: Changes
    warnings: list[str]
    copies: dict[PurePosixPath, Path] = field(default_factory=dict)

    def tree(self) -> BootTree:
        """Put together."""
        for kernel in self.plan.kernels:
            self.copies[PurePosixPath(f"vmlinuz-{kernel.version}")] = kernel.vmlinuz
            self.copies[PurePosixPath(f"initrd.img-{kernel.version}")] = kernel.initrd
        own, odd = custom.text(self.plan.root, self.changes.text)
        self.warnings += [
            *odd,
            *self._unused_options(),
            *self._cut_off(),
            *self._other_systems(),
            *(
                f"{name} is not supported on an ESP: {why}"
                for name, why in _NOT_HONOURED.items()
                if name in self.settings
            ),
        ]
        config = "\n".join([_BEGIN, *self._sections(has_custom=bool(own))])
        texts = {custom.TARGET: own} if own else {}
        return BootTree(
            copies=self.copies,
            texts={**texts, CONFIG: config.encode(errors="replace")},
            owned=_OWNED,
            warnings=list(dict.fromkeys(self.warnings)),
        )

    def _sections(self, *, has_custom: bool) -> Iterator[str]:
        menu = menu_of(self.plan, self.settings)
        search = ["search", "--no-floppy", "--fs-uuid", "--set=root", self.esp.uuid]
        modules = [["insmod", module] for module in self._list("GRUB_PRELOAD_MODULES")]
        yield _lines("", [search, *modules])
        default = self._default(menu)
        yield f"{_ENVIRONMENT}{default}"
        yield _SAVE_DEFAULT
        yield self._load_video()
        yield self._terminal()
        yield self._timeout()
        verbs = {"GRUB_INIT_TUNE": "play", "GRUB_BADRAM": "badram"}
        yield _lines(
            "", ([verb, *self._list(name)] for name, verb in verbs.items() if self._list(name))
        )
        yield self._menu(menu.entries, search, "")
        copies, entries = memtest.menu(self.plan.root, self.settings)
        self.copies |= copies
        yield from entries
        yield _FIRMWARE
        for name in [custom.TARGET.name] * has_custom + ["custom.cfg"]:
            yield f"if [ -f $prefix/{name} ]; then\n  source $prefix/{name}\nfi\n"
        # whatever those have set, a pin and the boot that happens once come before it
        one_shot = _ONE_SHOT.replace("@FALLBACK@", str(menu.position(self.plan.default)))
        yield f"{default if self.plan.pinned else ''}{one_shot}"

    def _default(self, menu: Menu) -> str:
        """What sets ``default``: a pin, else ``GRUB_DEFAULT``, else what the rules chose."""
        planned = menu.entries[0].id
        if menu.entries[0].version != self.plan.default:
            planned = menu.ordinary(self.plan.default) or planned
        wanted = self.settings.get("GRUB_DEFAULT", "0")
        if self.plan.pinned or wanted == "0":
            return f"set default={quote(planned)}\n"
        if wanted == "saved":
            self._tell_of_the_hosts_own(menu)
            return f"set default={quote(planned)}\n{_SAVED}"
        meant = menu.meant(wanted)
        if meant is None:
            self.warnings.append(
                f"GRUB_DEFAULT={wanted} names no kernel's entry; booting {self.plan.default}"
            )
        return f"set default={quote(meant or planned)}\n"

    def _tell_of_the_hosts_own(self, menu: Menu) -> None:
        """Warn of what grub-set-default(8) wrote on the host, where GRUB on an ESP does not look."""
        block = grubenv.read(self.plan.root / "boot/grub/grubenv") or {}
        path = menu.meant(block.get("saved_entry", "")) or ""
        entry = menu.find(path)
        if entry and entry.version != self.plan.default and "GRUB_SAVEDEFAULT" not in self.settings:
            self.warnings.append(
                f"/boot/grub/grubenv: saved_entry does not count on an ESP; booting {self.plan.default}. "
                f"For {entry.version}: pvefw boot kernel pin {entry.version}"
            )

    def _timeout(self) -> str:
        style = self.settings.get("GRUB_TIMEOUT_STYLE", "")
        seconds = self._seconds("GRUB_TIMEOUT", "5")
        if style and style not in _STYLES:
            self.warnings.append(
                f"GRUB_TIMEOUT_STYLE={style} is none of {', '.join(_STYLES)}; using menu"
            )
            style = "menu"
        if not style and self._seconds("GRUB_HIDDEN_TIMEOUT", "0") != "0":
            quiet = self.settings.get("GRUB_HIDDEN_TIMEOUT_QUIET") == "true"
            style, seconds = (
                "hidden" if quiet else "countdown",
                self._seconds("GRUB_HIDDEN_TIMEOUT", "0"),
            )
        return f"set timeout_style={style or 'menu'}\nset timeout={seconds}\n"

    def _seconds(self, name: str, default: str) -> str:
        value = self.settings.get(name, default)
        if not re.fullmatch(r"-?[0-9]{1,6}", value):
            self.warnings.append(f"{name}={value} is not a number of seconds; using {default}")
            return default
        return value

    def _load_video(self) -> str:
        backend = self._list("GRUB_VIDEO_BACKEND") or ["all_video"]
        return (
            "function load_video {\n"
            + _lines("  ", (["insmod", module] for module in backend))
            + "}\n"
        )

    def _terminal(self) -> str:
        both = self._list("GRUB_TERMINAL")
        inputs = self._names(both or self._list("GRUB_TERMINAL_INPUT"))
        outputs = self._names(both or self._list("GRUB_TERMINAL_OUTPUT")) or ["gfxterm"]
        # the keyboard that belongs to the screen is called console
        inputs = list(
            dict.fromkeys("console" if source == "gfxterm" else source for source in inputs)
        )
        text = ""
        if any(source.startswith("serial") for source in (*inputs, *outputs)):
            text += f"{self._serial()}\n"
        if inputs:
            text += command("terminal_input", *inputs) + "\n"
        if "gfxterm" not in outputs:
            return text + command("terminal_output", *outputs) + "\n"
        plain = [output for output in outputs if output != "gfxterm"] or ["console"]
        return (
            f"{text}if loadfont unicode; then\n"
            f"  set gfxmode={quote(self.settings.get('GRUB_GFXMODE', 'auto'))}\n"
            f"  load_video\n  insmod gfxterm\n"
            f"  {command('terminal_output', *outputs)}\n"
            f"{self._picture()}else\n  {command('terminal_output', *plain)}\nfi\n"
        )

    def _names(self, names: Sequence[str]) -> list[str]:
        wrong = [name for name in names if not _TERMINAL.fullmatch(name)]
        if wrong:
            self.warnings.append(f"{' '.join(wrong)}: no terminal of GRUB has such a name")
        return [name for name in names if name not in wrong]

    def _serial(self) -> str:
        line = self.settings.get("GRUB_SERIAL_COMMAND", "serial")
        try:
            return "\n".join(command(*words) for words in commands(line))
        except Unbalanced as error:
            self.warnings.append(f"GRUB_SERIAL_COMMAND: {error}; using GRUB's own settings")
            return "serial"

    def _picture(self) -> str:
        name = self.settings.get("GRUB_BACKGROUND")
        if not name:
            return ""
        source = self.plan.root / name.lstrip("/")
        reader = _READERS.get(source.suffix.lower())
        if reader is None or not source.is_file():
            why = "there is no such file" if reader else f"it is none of {', '.join(_READERS)}"
            self.warnings.append(f"GRUB_BACKGROUND={name}: {why}")
            return ""
        target = PurePosixPath(f"{_BACKGROUND}{source.suffix.lower()}")
        self.copies[target] = source
        return f"  insmod {reader}\n  background_image -m stretch $prefix/{target.name}\n"

    def _menu(self, entries: Sequence[Entry], search: Sequence[str], indent: str) -> str:
        """The entries as script, one tab deeper at every level."""
        text = ""
        for entry in entries:
            verb = "submenu" if entry.children else "menuentry"
            options = [*([] if entry.children else self._classes()), *self.changes.options]
            if entry.id.startswith(SIMPLE):
                options += self.changes.first_options
            text += f"{indent}{command(verb, entry.title, *options, '--id', entry.id)} {{\n"
            if entry.children:
                text += self._menu(entry.children, search, f"{indent}\t")
            else:
                text += _lines(f"{indent}\t", self._body(entry, search))
            text += f"{indent}}}\n"
        return text

    def _classes(self) -> list[str]:
        first = self.settings.get("GRUB_DISTRIBUTOR", self.plan.title).lower().split()[:1]
        own = [re.sub(r"[^a-z0-9_]", "_", name) for name in first]
        return [word for name in (*own, "gnu-linux", "gnu", "os") for word in ("--class", name)]

    def _body(self, entry: Entry, search: Sequence[str]) -> Iterator[Sequence[str]]:
        """The commands of one entry."""
        if self.settings.get("GRUB_SAVEDEFAULT") == "true" and not entry.recovery:
            yield ["savedefault"]
        payload = self.settings.get("GRUB_GFXPAYLOAD_LINUX", "")
        if payload != "text":
            yield ["load_video"]
        if payload:
            yield ["set", f"gfxpayload={payload}"]
        yield search
        options = cmdline.words(
            self.plan.cmdline,
            self.settings,
            recovery=self.changes.recovery if entry.recovery else None,
            root_only=self.plan.running_cmdline,
        )
        yield ["echo", f"Loading Linux {entry.version} ..."]
        yield ["linux", entry.linux, *options]
        yield ["echo", "Loading initial ramdisk ..."]
        yield ["initrd", *self._early_initrds(), *entry.initrds]

    def _early_initrds(self) -> Iterator[str]:
        """Microcode and the like, from ``/boot`` to a folder of their own."""
        for name in (
            *self._list("GRUB_EARLY_INITRD_LINUX_STOCK"),
            *self._list("GRUB_EARLY_INITRD_LINUX_CUSTOM"),
        ):
            source = self.plan.root / "boot" / name
            if source.is_file():
                target = _EARLY / source.name
                self.copies[target] = source
                yield f"/{target}"

    def _unused_options(self) -> list[str]:
        """What was written down for every loader, and GRUB's own settings have otherwise."""
        if self.plan.running_cmdline:
            return []
        return [
            f"/etc/kernel/cmdline: {option} is not used: /etc/default/grub gives that another value"
            for option in cmdline.unused(self.plan.cmdline, self.settings)
        ]

    def _other_systems(self) -> list[str]:
        """What an administrator has allowed os-prober to put into the host's own menu."""
        if self.settings.get("GRUB_DISABLE_OS_PROBER") != "false":
            return []
        why = (
            "other systems start from the firmware's menu, or by an entry in /boot/grub/custom.cfg"
        )
        return [f"GRUB_DISABLE_OS_PROBER=false is not supported on an ESP: {why}"]

    def _cut_off(self) -> list[str]:
        """What of GRUB's own settings and the plan's command line is too much for a kernel."""
        options = cmdline.words(
            self.plan.cmdline, self.settings, root_only=self.plan.running_cmdline
        )
        line = " ".join(options)
        if (length := len(line.encode(errors="replace"))) <= _LONGEST:
            return []
        last = line[_LONGEST - 20 : _LONGEST]
        why = f"kernels get {length} bytes of options, and read {_LONGEST}"
        return [f"/etc/default/grub: {why}: what follows '{last}' is cut off"]

    def _list(self, name: str) -> list[str]:
        return self.settings.get(name, "").split()


def _lines(indent: str, commands_: Iterable[Sequence[str]]) -> str:
    return "".join(f"{indent}{command(*words)}\n" for words in commands_)

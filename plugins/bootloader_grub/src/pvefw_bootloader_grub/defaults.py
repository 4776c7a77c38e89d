"""``/etc/default/grub`` and ``/etc/default/grub.d/*.cfg``, as a shell reads them.

These files are shell scripts, and grub-mkconfig sources them: with quotes, variables, continued lines,
conditions and, in many distributions, command substitution. So a shell reads them here, too, as nobody
and without a way to become somebody (:class:`~pvefw.api.Sandbox`). What it prints is thrown away; only
the variables that are left at the end count.

Source: the manual of GRUB, section "Simple configuration handling".
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from pvefw.api import ProviderError, Sandbox, run
from pvefw_bootloader_grub import files

MAIN = Path("etc/default/grub")
SNIPPETS = Path("etc/default/grub.d")
PIN = SNIPPETS / "proxmox-kernel-pin.cfg"
"""Where a host without synced ESPs keeps its pin. On an ESP the plan has it, so it is not read."""

STOCK = "intel-uc.img intel-ucode.img amd-uc.img amd-ucode.img early_ucode.cpio microcode.cpio"
_PREDEFINED = {"GRUB_DISABLE_OS_PROBER": "true", "GRUB_EARLY_INITRD_LINUX_STOCK": STOCK}
"""What grub-mkconfig sets before it sources the files."""

_NAMES = tuple(
    f"GRUB_{name}"
    for name in (
        *("BACKGROUND", "BADRAM", "BUTTON_CMOS_ADDRESS", "CMDLINE_LINUX", "CMDLINE_LINUX_DEFAULT"),
        *("CMDLINE_LINUX_RECOVERY", "DEFAULT", "DEVICE", "DEVICE_UUID", "DISABLE_LINUX_UUID"),
        *("DISABLE_MEMTEST", "DISABLE_OS_PROBER", "DISABLE_RECOVERY", "DISABLE_SUBMENU"),
        "DISTRIBUTOR",
        *("EARLY_INITRD_LINUX_CUSTOM", "EARLY_INITRD_LINUX_STOCK", "ENABLE_CRYPTODISK", "FONT"),
        *("GFXMODE", "GFXPAYLOAD_LINUX", "HIDDEN_TIMEOUT", "HIDDEN_TIMEOUT_QUIET", "INIT_TUNE"),
        *("PRELOAD_MODULES", "RECOVERY_TITLE", "SAVEDEFAULT", "SERIAL_COMMAND", "TERMINAL"),
        *("TERMINAL_INPUT", "TERMINAL_OUTPUT", "THEME", "TIMEOUT", "TIMEOUT_STYLE"),
        *("TOP_LEVEL", "VIDEO_BACKEND"),
    )
)
_UNQUOTED = re.compile(r"^(\s*(?:export\s+)?GRUB_DEFAULT=)([^\s\"'#;]*>[^\s\"'#;]*)", re.MULTILINE)
"""To a shell, ``GRUB_DEFAULT=1>2`` is a 1, and a file called 2."""
_BEGIN = "begin"
_SECONDS = 10.0
_LARGEST = 1 << 16
"""Bytes of one file: as much as can safely be handed over as an argument."""


def read(root: Path) -> tuple[Mapping[str, str], Sequence[str]]:
    """The variables that are set and not empty, and what is odd about the files.

    :raises ProviderError: a file cannot be read, is damaged, or a shell refuses it.
    """
    sources = [root / MAIN, *sorted((root / SNIPPETS).glob("*.cfg"))]
    texts = []
    warnings = []
    for path in sources:
        if path == root / PIN or not path.is_file():
            continue
        text = _text(path)
        if "\r\n" in text:
            warnings.append(
                f"{path}: its lines end as on Windows; the carriage returns are ignored"
            )
        text, odd = _UNQUOTED.subn(r'\1"\2"', text.replace("\r\n", "\n"))
        if odd:
            warnings.append(f"{path}: GRUB_DEFAULT needs quotes around a >; read as if it had them")
        texts.append((str(path), text))
    return _evaluate(tuple(texts)), warnings


def _text(path: Path) -> str:
    data = files.read(path) or b""
    if b"\0" in data or len(data) > _LARGEST:
        raise ProviderError(
            f"{path}: this is no shell script: it has "
            + ("null bytes" if b"\0" in data else f"{len(data)} bytes"),
            hint="Restore the file, or remove it to get GRUB's defaults.",
        )
    return data.decode(errors="surrogateescape")


@lru_cache(maxsize=4)
def _evaluate(sources: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Let a shell read the files, once for all ESPs of a refresh."""
    done = run(["sh", "-c", _script(sources)], timeout=_SECONDS, check=False, sandbox=Sandbox())
    output = done.stdout.split("\0")
    values = output[len(sources) :]
    if done.returncode != 0 or len(values) != len(_NAMES) + 1:
        at_fault = sources[max(output.count(_BEGIN), 1) - 1][0] if sources else "sh"
        raise ProviderError(
            f"{at_fault}: a shell cannot read it: {_last_words(done.stderr)}",
            hint="Fix the file; sh -n FILE says what is wrong with its syntax.",
        )
    return {name: value for name, value in zip(_NAMES, values, strict=False) if value}


def _script(sources: Sequence[tuple[str, str]]) -> str:
    """What the shell runs: each file in a function of its own, so that ``return`` ends only that."""
    lines = ["set -e", "exec 3>&1 >/dev/null"]
    lines += [f"{name}={shlex.quote(value)}" for name, value in _PREDEFINED.items()]
    for _, text in sources:
        # its last command may fail; a backslash at its very end stands for itself
        odd = (len(text) - len(text.rstrip("\\"))) % 2
        body = shlex.quote(text + "\\" * odd + "\n:")
        lines += [f"printf '{_BEGIN}\\0' >&3", f"file() {{ eval {body}; }}", "file"]
    values = " ".join(f'"${{{name}-}}"' for name in _NAMES)
    return "\n".join([*lines, f"printf '%s\\0' {values} >&3"])


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1].removeprefix("sh: ") if lines else "a command in it failed"

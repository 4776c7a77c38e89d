"""A guest of 512 bytes: it starts in a tenth of a second and obeys the ACPI power button, or does not.

QEMU's machine ``pc`` has its power management ports (PIIX4, ACPI specification 4.8.3) at 0x600.
"""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

SECTOR = 512
IMAGE_SIZE = 1 << 20
_TICKS_AT, _DEAF_AT = 0x1F0, 0x1F2
TICKS_PER_SECOND = 18.2

_SOURCE = f"""
.code16
.set STATUS, 0x600          /* PM1 status: bit 8 says that the power button was pressed */
.set ENABLE, 0x602          /* PM1 enable: without its bit 8 there is no status */
.set CONTROL, 0x604         /* PM1 control: bit 13 enters the sleep state of bits 10-12; 0 is off */
.set SERIAL, 0x3f8          /* "U" when it is up, "D" when it goes down by itself */
.set TICKS, 0x7c00 + {_TICKS_AT}
.set DEAF, 0x7c00 + {_DEAF_AT}
        xor     %bx, %bx
        mov     %bx, %ds
        mov     %bx, %ss
        mov     $0x7c00, %sp
        mov     $ENABLE, %dx
        mov     $0x100, %ax
        out     %ax, %dx
        mov     $SERIAL, %dx
        mov     $'U', %al
        out     %al, %dx
        sti
idle:   hlt                             /* until the timer's next tick */
        mov     $STATUS, %dx
        in      %dx, %ax
        test    $0x100, %ax
        jz      idle
        mov     $0x100, %ax             /* writing the bit clears it */
        out     %ax, %dx
        cmpw    $0, DEAF
        jne     idle
        mov     TICKS, %cx
        jcxz    off
linger: hlt
        loop    linger
off:    mov     $SERIAL, %dx
        mov     $'D', %al
        out     %al, %dx
        mov     $CONTROL, %dx
        mov     $0x2000, %ax
        out     %ax, %dx
stay:   hlt
        jmp     stay
        .org    510
        .byte   0x55, 0xaa
"""


@functools.cache
def _sector() -> bytes:
    with tempfile.TemporaryDirectory(prefix="boot-") as folder:
        source, object_file, sector = (Path(folder) / name for name in ("boot.s", "boot.o", "boot"))
        source.write_text(_SOURCE)
        for argv in (
            ["as", "--32", "-o", object_file, source],
            [
                *["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00"],
                *["-e", "0x7c00", "-o", sector, object_file],
            ],
        ):
            subprocess.run(argv, check=True, capture_output=True, timeout=30)
        return sector.read_bytes()


def write_image(path: Path, *, lingers: float = 0.0, deaf: bool = False, filler: int = 0) -> None:
    """Write a raw disk that boots.

    :param lingers: seconds from the power button to the end.
    :param deaf: it ignores the power button.
    :param filler: bytes of incompressible data behind the first megabyte: a disk that takes long to copy.
    """
    sector = bytearray(_sector())
    assert len(sector) == SECTOR
    for at, value in ((_TICKS_AT, round(lingers * TICKS_PER_SECOND)), (_DEAF_AT, int(deaf))):
        sector[at : at + 2] = value.to_bytes(2, "little")
    with path.open("wb") as image:
        image.write(sector)
        image.truncate(IMAGE_SIZE)
        image.seek(IMAGE_SIZE)
        for _ in range(filler >> 20):
            image.write(os.urandom(1 << 20))

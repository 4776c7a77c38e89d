"""Columns of numbers as bytes, and filters over them that take a few calls, however many there are.

A column that is filtered is kept as planes: all lowest bytes, then all second bytes. A filter's result is
a mask with a byte for each number, kept as one large integer, so that two of them meet in one operation.
"""

import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence


def packed(form: str, values: Iterable[int]) -> bytes:
    """Numbers as bytes, little-endian.

    :param form: as :mod:`array` has it: ``I`` for 32 bits, ``Q`` for 64.
    """
    found = array(form, values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def numbers(form: str, data: bytes, size: int) -> "array[int]":
    """So many numbers that were packed.

    :raises ValueError: the bytes are not that.
    """
    found = array(form)
    if not isinstance(data, bytes) or len(data) != size * found.itemsize:
        raise ValueError("length of a column")
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def planed(values: Iterable[int]) -> bytes:
    """Numbers as planes: all lowest bytes, then all second bytes, and so on; without what is zero."""
    data = packed("I", values)
    planes = b"".join(data[at::4] for at in range(4))
    size = len(data) // 4
    used = next((4 - at for at in range(4) if any(data[3 - at :: 4])), 1)
    return planes[: used * size]


def planes(data: bytes, size: int, low: int, high: int) -> list[bytes]:
    """The planes of so many numbers, each from ``low`` to ``high``.

    :raises ValueError: the bytes are not that.
    """
    if len(data) % size:
        raise ValueError("length of planes")
    return [data[at + low : at + high] for at in range(0, len(data), size)]


def unplaned(planes: Sequence[bytes]) -> "array[int]":
    """The numbers of whole planes."""
    size = len(planes[0])
    data = bytearray(4 * size)
    for at, plane in enumerate(planes):
        data[at::4] = plane
    return numbers("I", bytes(data), size)


def members(plane: bytes, values: Collection[int]) -> int:
    """A byte for each byte, as one number: 1 where it is one of the values."""
    table = bytearray(256)
    for one in values:
        table[one] = 1
    return int.from_bytes(plane.translate(table), "little")


def members_of(planes: Sequence[bytes], values: Collection[int]) -> int:
    """The same for numbers of several bytes: those that only differ in the lowest go together."""
    groups: dict[int, list[int]] = {}
    for one in values:
        groups.setdefault(one >> 8, []).append(one & 0xFF)
    found = 0
    for high, lows in groups.items():
        if high >> 8 * (len(planes) - 1):
            continue  # a larger number than any here
        part = members(planes[0], lows)
        for at, plane in enumerate(planes[1:]):
            if not part:
                break
            part &= members(plane, [high >> 8 * at & 0xFF])
        found |= part
    return found


def ones(mask: bytes, offset: int) -> Iterator[int]:
    """Where a mask is 1, from its end."""
    at = mask.rfind(1)
    while at >= 0:
        yield offset + at
        at = mask.rfind(1, 0, at)

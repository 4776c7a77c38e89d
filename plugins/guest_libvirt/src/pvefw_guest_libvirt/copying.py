"""Copies files of a stopped guest to the storage of another node, through both daemons."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from pvefw.api import Cancelled, ProviderError, Task

_BLOCK = 1 << 18


@contextlib.contextmanager
def _pool(connection: Any, directory: str) -> Iterator[Any]:
    """The storage pool of a directory; one for the time of the block where there is none."""
    try:
        pool, made = connection.storagePoolLookupByTargetPath(directory), False
    except libvirt.libvirtError:
        element = ET.Element("pool", type="dir")
        ET.SubElement(element, "name").text = f"pvefw-{uuid.uuid4().hex[:12]}"
        ET.SubElement(ET.SubElement(element, "target"), "path").text = directory
        pool, made = connection.storagePoolCreateXML(ET.tostring(element, encoding="unicode")), True
    try:
        pool.refresh()
        yield pool
    finally:
        if made:
            with contextlib.suppress(libvirt.libvirtError):
                pool.destroy()


def exists(connection: Any, path: str) -> bool:
    """Whether a node has a file, as far as its daemon can tell."""
    pure = PurePosixPath(path)
    try:
        with _pool(connection, str(pure.parent)) as pool:
            pool.storageVolLookupByName(pure.name)
    except libvirt.libvirtError:
        return False
    return True


def backing(connection: Any, path: str) -> str:
    """The image that another one is based on, as its own header says; empty where there is none.

    libvirt follows the chain when a guest starts: the definition of one that is stopped has it only where
    somebody has written it down.
    """
    pure = PurePosixPath(path)
    try:
        with _pool(connection, str(pure.parent)) as pool:
            described = pool.storageVolLookupByName(pure.name).XMLDesc()
    except libvirt.libvirtError:
        return ""
    return ET.fromstring(described).findtext("backingStore/path", "")  # noqa: S314 - the daemon's own


def remove(connection: Any, path: str) -> None:
    """Remove a file that was copied."""
    pure = PurePosixPath(path)
    with contextlib.suppress(libvirt.libvirtError), _pool(connection, str(pure.parent)) as pool:
        pool.storageVolLookupByName(pure.name).delete()


def copy(here: Any, there: Any, path: str, task: Task) -> None:
    """Copy a file byte by byte to the same path.

    :raises libvirt.libvirtError: it was not copied; nothing of it is left.
    :raises ProviderError: it exists there already.
    :raises Cancelled: the task was; nothing of it is left.
    """
    pure = PurePosixPath(path)
    with _pool(here, str(pure.parent)) as source, _pool(there, str(pure.parent)) as target:
        volume = source.storageVolLookupByName(pure.name)
        if pure.name in target.listVolumes():
            raise ProviderError(f"{path} already exists on the target")
        made = target.createXML(_definition(volume, pure.name))
        try:
            _pump(here, there, volume, made, task)
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                made.delete()
            raise


def _definition(volume: Any, name: str) -> str:
    """A raw volume of the same length, with owner and mode: the bytes bring their own format."""
    given = ET.fromstring(volume.XMLDesc())  # noqa: S314 - the daemon's own
    length = given.findtext("physical") or given.findtext("capacity", "0")
    element = ET.Element("volume")
    ET.SubElement(element, "name").text = name
    ET.SubElement(element, "capacity", unit="bytes").text = length
    target = ET.SubElement(element, "target")
    ET.SubElement(target, "format", type="raw")
    if (permissions := given.find("target/permissions")) is not None:
        target.append(permissions)
    return ET.tostring(element, encoding="unicode")


def _pump(here: Any, there: Any, volume: Any, made: Any, task: Task) -> None:
    incoming, outgoing = here.newStream(), there.newStream()
    length = int(ET.fromstring(made.XMLDesc()).findtext("capacity", "0"))  # noqa: S314 - the daemon's own
    volume.download(incoming, 0, length)
    made.upload(outgoing, 0, length)
    try:
        while data := incoming.recv(_BLOCK):
            if task.cancelled:
                raise Cancelled
            left = memoryview(data)
            while left:
                left = left[outgoing.send(bytes(left)) :]
        incoming.finish()
        outgoing.finish()
    except BaseException:
        for stream in (incoming, outgoing):
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
        raise

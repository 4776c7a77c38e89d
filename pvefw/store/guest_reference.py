"""What a guest is called: its number, and its backend where the node has several."""

from collections.abc import Iterable
from typing import NamedTuple


class Reference(NamedTuple):
    """One guest of a node, as users write it: ``101``, or ``BACKEND:101`` where it has two backends.

    Text only on the command line, in messages and in files; in between it stays what it is.
    """

    vmid: int
    backend: str = ""
    """The id of the backend; empty where the node has one."""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The guest that an id names.

        :raises ValueError: its last part is not a number.
        """
        backend, _, vmid = text.rpartition(":")
        return cls(int(vmid), backend)

    def __str__(self) -> str:
        return self.qualify(str(self.vmid))

    def qualify(self, word: str) -> str:
        """Another word for the guest, its name, with the backend before it where an id has it."""
        return f"{self.backend}:{word}" if self.backend else word

    def sibling(self, vmid: int) -> "Reference":
        """Another guest of the same backend."""
        return self._replace(vmid=vmid)


def names(guests: Iterable[Reference]) -> str:
    """Guests as they are listed in a message; ``none`` for none."""
    return ", ".join(map(str, guests)) or "none"

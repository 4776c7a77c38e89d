"""What every kind of thing in a document can do: say what is there, and make one thing so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pvefw.boot.machine import Machine
from pvefw.core.model import Task
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.wanted.shapes import Shape

Fields = Mapping[str, Any]
"""Of one thing, as a document has them. What has its default is not in it."""


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have something in them; an underscore stands for a dash."""
    return {
        key.replace("_", "-"): value
        for key, value in fields.items()
        if value is not None and value is not False and value not in ("", [], {})
    }


@dataclass(frozen=True)
class Change:
    """One thing that is to be added, changed or removed."""

    kind: "Kind"
    name: str
    before: Fields | None
    """As :meth:`Kind.current` had it; ``None`` to add it."""
    after: Fields | None
    """``None`` to remove it."""
    where: str = ""
    """File and line of the document; only the file for what it does not name."""

    @property
    def action(self) -> str:
        """``add``, ``change`` or ``remove``."""
        return "add" if self.before is None else "change" if self.after is not None else "remove"

    @property
    def subject(self) -> str:
        """For messages: ``plugins.ovh``, ``properties``."""
        return f"{self.kind.key}.{self.name}" if self.name else self.kind.key

    @property
    def old(self) -> Fields:
        """The fields before; none for what is added."""
        return self.before or {}

    @property
    def new(self) -> Fields:
        """The fields after; none for what is removed."""
        return self.after or {}

    def apply(self, context: "Context") -> None:
        """Make it.

        :raises PvefwError: it cannot be made.
        """
        if self.after is None:
            self.kind.remove(context, self.name)
        else:
            self.kind.put(context, self)


@dataclass
class Context:
    """What adapters work with."""

    paths: Paths
    task: Task
    machine: Callable[[], Machine]
    """This machine's disks."""
    rehearsing: bool = False
    """Nothing reaches the disk, and nobody else is to be asked or told."""
    registering: bool = False
    """An account that does not exist yet is among what is wanted."""
    left_out: list[str] = field(default_factory=list)
    """What is there and cannot be in a document, a sentence each."""

    @property
    def node(self) -> Node:
        """A fresh look at the configuration."""
        return Node.open(self.paths)


class Kind:
    """One part of a document, and the functions of pvefw that it stands for."""

    key: str
    """Its name in the document."""
    shape: Shape
    """Of the whole part."""
    singular: ClassVar[bool] = False
    """It is one thing, without a name."""
    of_machine: ClassVar[bool] = False
    """It is about this machine, whatever node is named."""
    rehearsable: ClassVar[bool] = True
    """A change is made of nothing but files, and can be tried without writing them."""
    prunable: ClassVar[bool] = True
    """``--prune`` removes what is not named, and sets back fields that are not."""
    creates: ClassVar[bool] = True
    """Something that does not exist can be wanted."""
    needs: ClassVar[str] = ""
    """Another part: what is changed there may bring what does not exist here."""
    always: frozenset[str] = frozenset()
    """The names of things that cannot be removed."""
    lasting: ClassVar[frozenset[str]] = frozenset()
    """Fields that say what a thing is: they stay where nobody names them."""

    def current(self, context: Context) -> dict[str, Fields]:
        """What is there, by name; a singular one is called the empty text.

        :raises PvefwError: that cannot be found out.
        """
        raise NotImplementedError

    def put(self, context: Context, change: Change) -> None:
        """Add or change one thing.

        :raises PvefwError: it cannot be done.
        """
        raise NotImplementedError

    def remove(self, context: Context, name: str) -> None:
        """Remove one thing.

        :raises PvefwError: it cannot be done.
        """
        raise NotImplementedError

    def name(self, context: Context, given: str) -> str:  # noqa: ARG002 - the ESPs' needs it
        """The name of a thing that a document may call otherwise.

        :raises PvefwError: nothing is called so.
        """
        return given

    def ignored(self, old: Fields) -> frozenset[str]:  # noqa: ARG002 - that of accounts needs it
        """Fields that say how a thing is to begin, and nothing of one that exists."""
        return frozenset()

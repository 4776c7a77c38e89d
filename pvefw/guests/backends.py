"""The hypervisors that this node uses. With two backends, a guest's id is ``BACKEND:VMID``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pvefw import instances
from pvefw.core.binding import Bound
from pvefw.core.errors import (
    ConfigError,
    NotFound,
    NothingRuns,
    PvefwError,
    Unsupported,
    UsageError,
)
from pvefw.core.families import GUEST
from pvefw.core.hookspecs.guest import GuestSpec
from pvefw.core.model import Guest, MigrateOptions, MigrateTarget
from pvefw.guests import plan, readiness
from pvefw.guests.plan import Listed, by_id
from pvefw.instances import Instance
from pvefw.instances.trial import ask
from pvefw.store import guest_notes, rehearsal
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import KINDS

KEYS = ("vmid", "onboot", "order", "up", "down", "ready", "after")
"""What ``guest set`` can set."""


def configured(node: Node) -> list[Instance]:
    """The backends that this node uses.

    :raises NotFound: there is none.
    """
    backends = instances.load_used(node, GUEST.name)
    if not backends:
        raise NotFound(f"guests: node {node.name} has no guest backend", hint=_how_to_get_one(node))
    return backends


def _how_to_get_one(node: Node) -> str:
    for instance in instances.load_all(node, GUEST.name):
        try:
            instances.check_used(node, instance)
        except ConfigError as error:
            return f"{error.message[:1].upper()}{error.message[1:]}. {error.hint}"
    return (
        f"Add one: {KINDS[GUEST.name].example('libvirt', 'libvirt').removesuffix(' --data FILE')}"
    )


@dataclass(frozen=True)
class Backends:
    """All backends of this node."""

    bound: Mapping[str, Bound[GuestSpec]]
    """By id."""
    failures: Sequence[PvefwError] = ()
    """Those that could not be bound; the others work without them."""

    @classmethod
    def load(cls, node: Node, *, needed: bool = True) -> "Backends":
        """Bind every configured backend.

        :param needed: whether there must be one.
        :raises NotFound: there is none, and one is needed.
        :raises PvefwError: none of them can be used.
        """
        bound, failures = {}, []
        for instance in configured(node) if needed else instances.load_used(node, GUEST.name):
            try:
                bound[instance.id] = instances.bind(node, instance)
            except PvefwError as error:
                failures.append(error)
        if failures and not bound:
            raise failures[0]
        return cls(bound, failures)

    def list(
        self, down: "list[NothingRuns] | None" = None
    ) -> tuple[list[Listed], list[PvefwError]]:
        """All guests by VMID, and why a backend could not be asked.

        :param down: gets the hypervisors that do not run; without it, they are failures like others.
        :raises PvefwError: none could be asked.
        """
        listed: list[Listed] = []
        failures = list(self.failures)
        for name, backend in self.bound.items():
            try:
                guests = ask(backend.hooks.guest_list, name)
            except PvefwError as error:
                if down is not None and isinstance(error, NothingRuns):
                    down.append(error)
                else:
                    failures.append(error)
                continue
            listed += [Listed(self.id(name, guest.vmid), guest) for guest in guests]
        if failures and len(failures) == len(self.bound) + len(self.failures):
            raise failures[0]
        return sorted(listed, key=lambda entry: entry.id), failures

    def id(self, backend: str, vmid: int) -> Reference:
        """How the user calls a guest."""
        several = len(self.bound) + len(self.failures) > 1
        return Reference(vmid, backend if several else "")

    def of(self, id_: Reference) -> Bound[GuestSpec]:
        """The backend of a guest."""
        return self.bound[id_.backend] if id_.backend else next(iter(self.bound.values()))

    def target(self, id_: Reference, target: str) -> MigrateTarget | None:
        """What a guest's backend knows of another node.

        :raises ProviderError: it cannot be reached.
        """
        backend = self.of(id_)
        if "guest_target" not in backend.implemented:
            return None
        return ask(lambda: backend.hooks.guest_target(target=target), backend.name)

    def elsewhere(self, backend: str, node: str) -> Sequence[Guest]:
        """The guests that another node has of a backend; none where the plugin cannot say.

        :raises ProviderError: the node cannot be asked.
        """
        bound = self.bound[backend]
        if "guest_elsewhere" not in bound.implemented:
            return ()
        return ask(lambda: bound.hooks.guest_elsewhere(node=node), backend) or ()

    def obstacles(self, entry: Listed, target: str, options: MigrateOptions) -> Sequence[str]:
        """Why a guest cannot move to a node.

        :raises ProviderError: that cannot be found out.
        """
        backend = self.of(entry.id)
        check = backend.hooks.guest_migrate_check
        lines = ask(lambda: check(guest=entry.guest, target=target, options=options), backend.name)
        return lines or ()


# --- what is known of one guest -------------------------------------------------------------------


def find(backends: Backends, word: str) -> Listed:
    """One guest.

    :param word: its id, or a number or name that no other has.
    :raises NotFound: there is none.
    """
    return find_among(backends, word)[0]


def find_among(backends: Backends, word: str) -> tuple[Listed, list[Listed]]:
    """One guest, and all.

    :raises NotFound: there is none of this id.
    """
    listed, failures = backends.list()
    try:
        hits = by_id(listed, [word], "guest")
        if len(hits) > 1:
            raise NotFound(
                f"guest: {word}: there are {len(hits)} guests of that id", hint="Name one of them."
            )
        return hits[0], listed
    except NotFound as error:
        for failure in failures:
            error.hint = f"{error.hint.rstrip('.')}. One backend did not answer: {failure.message}"
        raise


def note(paths: Paths, listed: Sequence[Listed]) -> None:
    """Note which guests there are, for the Tab key."""
    guest_notes.write(paths, {str(entry.id): entry.guest.name for entry in listed})


def change(backends: Backends, word: str, values: Mapping[str, str]) -> bool:
    """Set what a guest says about itself; an empty text removes a setting.

    :param word: as for :func:`find`.
    :returns: whether something changed; in a rehearsal, whether it would.
    :raises UsageError: a value is not in its format.
    :raises Unsupported: its backend cannot keep it.
    """
    _check_all(word, values)
    entry = find(backends, word)
    if "after" in values:
        _check_after(entry, values["after"])
    backend = backends.of(entry.id)
    if "guest_set" not in backend.implemented:
        raise Unsupported(
            f"guest set: {word}: {backend.name} stores no settings of guests",
            hint="Set them where this hypervisor's guests are managed.",
        )
    differs = any(_differs(entry.guest, key, value) for key, value in values.items())
    # a number that the backend has only proposed so far is kept when it is set
    if (differs or "vmid" in values) and not rehearsal.is_dry():
        ask(lambda: backend.hooks.guest_set(guest=entry.guest, values=values), backend.name)
    return differs


def _check_all(word: str, values: Mapping[str, str]) -> None:
    """Hold every value against its format.

    :raises UsageError: at least one does not fit; all are named.
    """
    wrong = []
    for key, value in values.items():
        try:
            _check(key, value)
        except ValueError as error:
            wrong.append(f"--{key}: {error}")
    if wrong:
        raise UsageError(
            f"guest set: {word}: {'; '.join(wrong)}",
            hint="The values of each option: pvefw guest set --help",
        )


def _differs(guest: Guest, key: str, value: str) -> bool:
    there: object = getattr(guest, key)
    if key == "onboot":
        return bool(there) != (value == "1")
    if key == "after":
        return {str(vmid) for vmid in guest.after} != set(filter(None, value.split(",")))
    if key == "ready":
        return (there or "") != value
    return bool(there != (int(value) if value else None))


_LIMITS = {"vmid": (100, 999_999_999), "order": (0, 1 << 31), "up": (0, 86400), "down": (0, 86400)}


def _check(key: str, value: str) -> None:
    """Hold a value against its format.

    :raises ValueError: it does not fit.
    """
    if not value:
        if key == "vmid":
            raise ValueError("a guest must have one")
        return
    if key == "ready":
        readiness.parse(value)
    elif key == "after":
        for part in value.split(","):
            _whole(part, *_LIMITS["vmid"])
    elif key == "onboot":
        if value not in ("0", "1"):
            raise ValueError(f"'{value}' is neither 0 nor 1")
    else:
        _whole(value, *_LIMITS[key])


def _whole(value: str, lowest: int, highest: int) -> None:
    if not (value.isascii() and value.isdecimal()) or not lowest <= int(value) <= highest:
        raise ValueError(f"'{value}' is not a whole number from {lowest} to {highest}")


def _check_after(entry: Listed, value: str) -> None:
    if entry.guest.vmid in map(int, filter(None, value.split(","))):
        raise UsageError(f"guest set: {entry.id}: --after: a guest cannot wait for itself")


def described(
    entry: Listed, listed: Sequence[Listed], backend: str, absence: plan.Absence = plan.nowhere
) -> dict[str, object]:
    """A guest as ``guest list`` and ``guest show`` print it.

    :param listed: all guests.
    :param absence: asked about guests that this node does not have.
    """
    guest: Guest = entry.guest
    notes = ["saved"] if guest.saved else []
    return {
        "id": str(entry.id),
        "name": guest.name,
        "kind": guest.kind,
        "backend": backend,
        "state": guest.state.value,
        "onboot": guest.onboot,
        "order": guest.order,
        "up": guest.up,
        "down": guest.down,
        "ready": guest.ready,
        "after": list(guest.after),
        "needs": list(map(str, entry.needs)),
        "blocked-by": list(map(str, plan.waits_for(entry, listed, absence))),
        "template": guest.template,
        "ha": guest.managed_by_ha,
        "memory": guest.memory,
        "backend-id": guest.backend_id,
        "saved": guest.saved,
        "problem": guest.problem,
        "note": ", ".join([*notes, *filter(None, [plan.unreadable(guest)])]),
    }

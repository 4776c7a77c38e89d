"""What is this machine's own: guests, ESPs, kernels, units."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvefw.boot import choice, cmdline, esps, hooks, records, refresh, registry, select
from pvefw.boot.context import Context as BootContext
from pvefw.boot.loaders import Loaders
from pvefw.certs import timer
from pvefw.core.errors import NotFound, PvefwError
from pvefw.guests import backends, readiness
from pvefw.guests import units as guest_units
from pvefw.guests.backends import Backends
from pvefw.guests.plan import Listed
from pvefw.host.fat import is_version
from pvefw.store import files, kernel_files, units
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.wanted.kind import Change, Context, Fields, Kind, present
from pvefw.wanted.shapes import Flag, List, Number, Record, Table, Text

# --- guests ---------------------------------------------------------------------------------------

_LONGEST = 86400


class Guests(Kind):
    """How guests start and stop. They are not made here, and not removed."""

    key = "guests"
    of_machine = True
    rehearsable = False
    creates = False
    needs = "backends"
    shape = Table(
        "How guests start and stop, by their ids (`pvefw guest list`).",
        Record(
            "A guest.",
            {
                "onboot": Flag("It starts at boot."),
                "order": Number("Its place in the order of start.", 0, 1 << 31),
                "up": Number("Seconds to wait after its start.", 0, _LONGEST),
                "down": Number("Seconds its shutdown may take.", 0, _LONGEST),
                "ready": Text(
                    "What shows that it is ready.", readiness.parse, "agent|tcp:HOST:PORT"
                ),
                "after": List(
                    "Guests that must be ready before it starts.",
                    Number("A VMID.", 100, 999_999_999),
                ),
            },
        ),
    )

    def current(self, context: Context) -> dict[str, Fields]:
        listed, failures = Backends.load(Node.open(context.paths), needed=False).list()
        context.left_out += [error.message for error in failures]
        return {str(entry.id): _guest(entry) for entry in listed}

    def put(self, context: Context, change: Change) -> None:
        there, new = change.old, change.new
        values = {key: _as_option(new[key]) for key in new if there.get(key) != new[key]}
        values |= {key: "" for key in there if key not in new}
        backends.change(Backends.load(Node.open(context.paths)), change.name, values)


def _guest(entry: Listed) -> Fields:
    guest = entry.guest
    return present(
        onboot=guest.onboot,
        order=guest.order,
        up=None if guest.up is None else int(guest.up),
        down=None if guest.down is None else int(guest.down),
        ready=guest.ready,
        after=list(guest.after),
    )


def _as_option(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


# --- boot -----------------------------------------------------------------------------------------


def _boot(context: Context) -> BootContext:
    return BootContext(context.paths, context.machine(), Loaders.load(context.paths), context.task)


class Esps(Kind):
    """The EFI system partitions that are kept up to date, and the boot loader of each."""

    key = "esps"
    of_machine = True
    rehearsable = False
    prunable = False
    shape = Table(
        "EFI system partitions, by volume id (`ABCD-1234`) or device. One that is not managed yet gets "
        "its boot loader; none is removed from the list.",
        Record("An ESP.", {"loader": Text("The boot loader (default: the one that fits).")}),
    )

    def name(self, context: Context, given: str) -> str:
        if not given.startswith("/"):
            return self._on_a_disk(context, given.upper())
        return context.machine().devices().find(Path(given)).uuid

    def _on_a_disk(self, context: Context, uuid: str) -> str:
        """The volume id of an ESP that is managed, or can be.

        :raises NotFound: no disk has it.
        """
        managed = uuid in self.current(context)
        if not managed and not esps.resolve(uuid, context.machine().devices()).device:
            raise NotFound(
                f"no disk of this host has the file system {uuid}", hint="See: lsblk --fs"
            )
        return uuid

    def current(self, context: Context) -> dict[str, Fields]:
        fields_of: dict[str, Fields] = {}
        for entry in kernel_files.entries(context.paths.esp_uuids):
            loader = records.load(context.paths, entry).loader if esps.is_uuid(entry) else ""
            fields_of[entry.upper()] = present(loader=loader)
        return fields_of

    def put(self, context: Context, change: Change) -> None:
        boot = _boot(context)
        device = esps.resolve(change.name, boot.machine.devices()).partition
        registry.init(boot, device.path, change.new.get("loader", ""))


def _version(text: str) -> None:
    if not is_version(text):
        raise ValueError(f"'{text}' is not the version of a kernel")


class Boot(Kind):
    """Which kernels are kept, which one boots, and how."""

    key = "boot"
    singular = True
    of_machine = True
    shape = Record(
        "Which kernels the ESPs offer, and which one boots.",
        {
            "kernels": List(
                "Kernels to keep, in addition to those that are chosen automatically.",
                Text("A version.", _version),
            ),
            "pinned": Text("The kernel that boots by default.", _version),
            "cmdline": Text(
                "The kernel's command line; it has a root=.",
                normal=lambda text: cmdline.check(text, "cmdline"),
            ),
        },
    )

    def current(self, context: Context) -> dict[str, Fields]:
        chosen = choice.load(context.paths)
        line = kernel_files.value(context.paths.cmdline)
        return {"": present(kernels=list(chosen.manual), pinned=chosen.pinned, cmdline=line)}

    def put(self, context: Context, change: Change) -> None:
        there, new = change.old, change.new
        has_esps = bool(kernel_files.entries(context.paths.esp_uuids))
        repinned = new.get("pinned") != there.get("pinned")

        def alter() -> None:
            _choose(context.paths, there, new)

        with _all_or_nothing(context.paths):
            if context.rehearsing or not (has_esps or repinned):
                alter()
            elif has_esps:
                alter()
                refresh.refresh(_boot(context))
            else:
                select.change(_boot(context), alter)


@contextlib.contextmanager
def _all_or_nothing(paths: Paths) -> Iterator[None]:
    """Take a choice back that did not reach the boot loader: else a second run would find it made."""
    chosen = (*choice.pins(paths), paths.manual_kernels, paths.cmdline)
    before = {path: files.read_if_exists(path) for path in chosen}
    try:
        yield
    except PvefwError:
        for path, data in before.items():
            if files.read_if_exists(path) != data:
                files.remove(path) if data is None else files.replace(path, data)
        raise


def _choose(paths: Paths, there: Fields, new: Fields) -> None:
    kept, wanted = there.get("kernels", []), new.get("kernels", [])
    for version in [version for version in wanted if version not in kept]:
        choice.add(paths, version)
    for version in [version for version in kept if version not in wanted]:
        choice.remove(paths, version)
    if new.get("pinned") != there.get("pinned"):
        if "pinned" in new:
            choice.pin(paths, new["pinned"], next_boot=False)
        else:
            files.remove(paths.pinned_kernel)
    if new.get("cmdline") != there.get("cmdline"):
        if "cmdline" in new:
            kernel_files.set_value(paths.cmdline, new["cmdline"])
        else:
            files.remove(paths.cmdline)


# --- units ----------------------------------------------------------------------------------------


class Units(Kind):
    """What runs pvefw by itself."""

    key = "units"
    singular = True
    of_machine = True
    rehearsable = False
    prunable = False
    shape = Record(
        "What runs pvefw by itself. It is installed, and never removed.",
        {
            "renew-timer": Flag("The timer of `pvefw renew`.", may_be_false=False),
            "renew-cron": Flag("The cron job for `pvefw renew`.", may_be_false=False),
            "guests": Flag("The units that start and stop guests.", may_be_false=False),
            "boot-hooks": Flag("The hooks that refresh the ESPs.", may_be_false=False),
        },
    )

    def current(self, context: Context) -> dict[str, Fields]:
        paths = context.paths
        fields = present(
            renew_timer=_are_installed(paths, *timer.ENABLED),
            renew_cron=paths.below(timer.CRON).exists(),
            guests=_are_installed(paths, guest_units.START, guest_units.STOP),
            boot_hooks=hooks.are_installed(paths),
        )
        return {"": fields}

    def put(self, context: Context, change: Change) -> None:
        paths, say = context.paths, context.task.log
        for key in (name for name in change.new if name not in change.old):
            if key.startswith("renew-"):
                timer.install(paths, say, cron=key == "renew-cron")
                continue
            for path in guest_units.install(paths) if key == "guests" else hooks.install(paths):
                say(f"Wrote {path}")


def _are_installed(paths: Paths, *names: str) -> bool:
    """Whether units exist and, where systemd runs, are part of the next boot."""
    exist = all(
        units.is_shipped(paths, name) or paths.below(f"{units.DIRECTORY}/{name}").exists()
        for name in names
    )
    return exist and (
        not units.runs_systemd(paths) or all(units.is_enabled(paths, name) for name in names)
    )

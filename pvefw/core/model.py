"""The values that core and plugins hand to each other: frozen, without behaviour of their own.

Units and forms are those of :mod:`pvefw.core.hookspecs`: names are absolute lower-case A-labels with the
final dot, durations are seconds, sizes are bytes, times are aware and in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol


class Task(Protocol):
    """The running task, as a plugin sees it."""

    def log(self, message: str) -> None:
        """Add one line to the task's log. Secrets of the plugin's settings are masked in it."""

    def warn(self, message: str) -> None:
        """As :meth:`log`, and let the task end with ``TASK WARNINGS``."""

    def secret(self, value: str) -> None:
        """Mask a value from now on that the plugin has obtained itself, a session's token; since 1.1."""

    def wait(self, seconds: float) -> None:
        """Sleep, but raise :class:`~pvefw.core.errors.Cancelled` as soon as the task is cancelled."""

    @property
    def cancelled(self) -> bool:
        """Whether the task is being cancelled; long loops should end when it is."""


# --- challenge -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a certificate is ordered for (RFC 8555 section 9.7.7, RFC 8738)."""

    type: Literal["dns", "ip"]
    value: str
    """A name without the final dot, perhaps ``*.example.com``, as in the order; or an address."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of one authorization that a plugin is to answer (RFC 8555 section 8)."""

    type: str
    """``http-01``, ``dns-01``, ``tls-alpn-01``, ``dns-account-01`` or ``dns-persist-01``."""
    identifier: Identifier
    """Without the ``*.`` of a wildcard: the authorization's identifier."""
    token: str
    """Empty for a type without tokens: ``dns-persist-01``."""
    key_authorization: str
    """``token.thumbprint`` (section 8.1); empty where there is no token."""
    account: str = ""
    """The account's URL."""
    thumbprint: str = ""
    """That of the account's key (RFC 7638)."""
    issuers: Sequence[str] = ()
    """The authority's own domains, for ``dns-persist-01``: any of them may be in the record."""

    @property
    def dns_label(self) -> str:
        """What comes before the identifier in the name of the TXT record.

        ``_acme-challenge`` for dns-01; for dns-account-01 there is a label of the account before it
        (draft-ietf-acme-dns-account-label-03 section 3.1).
        """
        if self.type != "dns-account-01":
            return "_acme-challenge"
        import base64
        import hashlib

        digest = hashlib.sha256(self.account.encode()).digest()[:10]
        return f"_{base64.b32encode(digest).decode().lower()}._acme-challenge"

    @property
    def dns_value(self) -> str:
        """The content of the TXT record for dns-01 (section 8.4) and dns-account-01."""
        import base64
        import hashlib  # OpenSSL's: as slow to import as the rest of this module

        digest = hashlib.sha256(self.key_authorization.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- dns -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class TxtRecord:
    """One value of a TXT record set."""

    name: str
    """Absolute: ``_acme-challenge.www.example.com.``"""
    value: str
    """The text, unquoted; at most 255 bytes of ASCII."""
    ttl: int = field(default=60, compare=False)
    """Seconds; a wish: a provider with a higher minimum uses that."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One provider that a DNS catalogue can make."""

    name: str
    title: str
    """The provider's name for people."""
    settings: Sequence["SettingInfo"]
    docs: str = ""
    """A URL, or empty."""
    open: bool = False
    """Whether ``settings`` is only what is known: every key goes through to the provider, and one that
    is unknown or missing is a warning, not an error."""


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting of a plugin, as shown to people and checked by core."""

    key: str
    """As in the configuration: ``OVH_AK``, ``port``."""
    help: str
    secret: bool = False
    required: bool = False
    default: str = ""
    """As it would be written in the configuration; empty where there is none."""
    type: str = "string"
    """``string``, ``integer``, ``number``, ``boolean``, ``path`` or ``list``."""
    choices: Sequence[str] = ()
    writes: bool = False
    """Whether it is the path of a file that a target writes: on the host that its setting ``host`` names,
    or on this one. ``{name}`` in it stands for the certificate's name."""


# --- boot ------------------------------------------------------------------------------------


class Firmware(StrEnum):
    """How the machine starts its boot loader."""

    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class Esp:
    """One EFI system partition, mounted for this call."""

    uuid: str
    """The FAT volume id as ``blkid`` prints it: ``ABCD-1234``."""
    device: Path
    """The partition: ``/dev/sda2``."""
    disk: Path
    """The disk it lies on: ``/dev/sda``."""
    mountpoint: Path
    size: int
    """Bytes."""
    free: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One installed kernel."""

    version: str
    """As in ``/lib/modules``: ``6.8.12-4-pve``."""
    vmlinuz: Path
    initrd: Path


@dataclass(frozen=True, slots=True)
class BootPlan:
    """What every ESP is to offer at the next boot."""

    kernels: Sequence[Kernel]
    """In menu order: latest first. Never empty. Where the default is gone, the first one should boot."""
    default: str
    """The version that boots; one of ``kernels``."""
    next_boot: str | None
    """The version that boots once, one of ``kernels``, or ``None``."""
    cmdline: str
    """One line with ``root=``."""
    root: Path
    """Below which the host's own files lie (``/`` but for tests)."""
    title: str = "Proxmox"
    """What the menu calls this system."""
    pinned: bool = False
    """Whether the administrator chose ``default``: then it wins over the loader's own configuration."""
    running_cmdline: bool = False
    """Whether ``cmdline`` is only that of the running kernel: nobody wrote it down, and much of it may be
    what the loader itself added. Since 1.1."""
    take_over: bool = False
    """Whether the administrator wants ``default`` whatever was chosen in the firmware. Since 1.1."""


@dataclass(frozen=True, slots=True)
class BootTree:
    """Every file that a boot loader wants on an ESP; paths are relative to it."""

    copies: Mapping[PurePosixPath, Path]
    """Kernels and initrds: target on the ESP to source on the host."""
    texts: Mapping[PurePosixPath, bytes]
    """Configuration; replaced last, one after the other in this order."""
    owned: Sequence[str]
    """Glob patterns (``*`` stays within one folder): what matches one and is not listed above is deleted,
    pattern after pattern in this order: what refers to files before the files. Since 1.1 only what pvefw
    wrote there is: a file of somebody else's stays, whatever it is called."""
    warnings: Sequence[str] = ()
    """What of the host's configuration the loader cannot honour, one sentence each; core warns of it."""


@dataclass(frozen=True, slots=True)
class BootState:
    """What a boot loader found on an ESP that is its own."""

    firmware: Sequence[Firmware]
    """Those under which this ESP boots."""
    kernels: Sequence[str]
    """Versions that are complete, with an entry."""
    default: str | None = None
    """The version that boots; the name of an entry that starts no kernel of these; ``None`` where the
    loader itself chooses."""
    next_boot: str | None = None
    """What is armed to boot once."""
    loader_version: str = ""
    overruled: str = ""
    """What comes before the loader's own configuration and starts something else, or nothing without
    somebody at the keyboard, as one clause: ``the firmware's LoaderEntryDefault names auto-windows``;
    empty where nothing does. Since 1.1."""


# --- guest -----------------------------------------------------------------------------------


class GuestState(StrEnum):
    """What a guest is doing."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Guest:
    """One virtual machine or container of this node."""

    vmid: int
    name: str
    kind: Literal["vm", "container"]
    state: GuestState
    onboot: bool = False
    order: int | None = None
    """Start-up order; ``None`` is after all others."""
    up: float | None = None
    """Seconds to wait after its start; ``None`` is the kind's default."""
    down: float | None = None
    """Seconds that a shutdown may take; ``None`` is the command's time-out."""
    ready: str = ""
    """``agent``, ``tcp:HOST:PORT``, or empty."""
    after: Sequence[int] = ()
    """VMIDs that must be ready first."""
    template: bool = False
    managed_by_ha: bool = False
    memory: int = 0
    """Bytes that it may use."""
    backend_id: str = ""
    """How the backend itself calls it (a libvirt UUID)."""
    saved: bool = False
    """Whether it is stopped with its memory on disk, from where it continues. Since 1.1."""
    problem: str = ""
    """Why its settings could not be read; those above are then the defaults. Since 1.1."""


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """A change of state that the backend saw."""

    vmid: int
    state: GuestState
    time: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """How a guest is to move."""

    with_local_disks: bool = False
    online: bool = True
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class MigrateTarget:
    """What is known of a node that guests are to move to."""

    name: str
    free_memory: int
    """Bytes."""


# --- observer --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateEvent:
    """A new certificate is in place. The key is named, never handed over."""

    node: str
    names: Sequence[str]
    certificate: Path
    key: Path
    not_before: datetime
    not_after: datetime
    fingerprint: str
    """SHA-256, upper case, colons between the bytes."""
    name: str = "pveproxy"
    """Which of the node's certificates; ``pveproxy`` is that of its own services. Since 1.1."""


class Urgency(StrEnum):
    """How soon somebody must act, by how much of a certificate's lifetime is left."""

    NOTICE = "notice"
    """More than a fifth: it will most likely resolve itself."""
    WARNING = "warning"
    """Less than a fifth."""
    CRITICAL = "critical"
    """Less than a tenth."""
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RenewalFailedEvent:
    """A certificate could not be renewed."""

    node: str
    names: Sequence[str]
    certificate: Path
    not_after: datetime
    days_left: float
    """Negative once it has expired."""
    failures: int
    """How many in a row, this one included; 0 where nothing could be tried."""
    reason: str
    urgency: Urgency = Urgency.NOTICE


@dataclass(frozen=True, slots=True)
class ServedEvent:
    """What is served somewhere is not the certificate that is installed; or it is again. Since 1.1."""

    node: str
    name: str
    """Which of the node's certificates."""
    address: str
    """``HOST:PORT``."""
    certificate: Path
    reason: str
    """What is wrong; empty where all is well again."""


@dataclass(frozen=True, slots=True)
class RenewalsEvent:
    """A run of ``pvefw renew``, which decides for every certificate of a node. Since 1.1."""

    node: str
    phase: Literal["started", "ended"]
    good: bool = True
    """Whether all that was tried succeeded, and no renewal waits that has failed; while it runs, true."""
    lines: Sequence[str] = ()
    """What it said until now, for people."""


class Severity(StrEnum):
    """How bad it is, in the words of Proxmox VE's notifications. Since 1.1."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


NOTICES = (
    "renewal-failed",
    "renewal-overdue",
    "renewal-recovered",
    "certificate",
    "not-delivered",
    "served",
    "boot-synced",
    "boot-unexpected",
    "bulk-failed",
    "timer-missing",
)
"""The kinds of :class:`NoticeEvent`: a renewal failed; a certificate ends soon and is
not renewed; a renewal succeeded again; a new certificate is installed; it was not delivered to a service
or an observer; something else is served, or no more; ESPs are out of date; a kernel other than the
requested one runs; guests are not as a bulk action wanted them; nothing runs renewals by itself.
Since 1.1."""


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """Something that a person should know, in words. Since 1.1."""

    node: str
    kind: str
    """One of :data:`NOTICES`."""
    severity: Severity
    subject: str
    lines: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs: texts, numbers, times, paths, and lists and mappings of them."""


@dataclass(frozen=True, slots=True)
class BootSyncedEvent:
    """A refresh of the ESPs ended."""

    node: str
    kernels: Sequence[str]
    synced: Sequence[str]
    """UUIDs of the ESPs that are up to date."""
    failed: Mapping[str, str]
    """UUID to reason."""


@dataclass(frozen=True, slots=True)
class GuestPowerEvent:
    """A bulk action is done with one guest."""

    node: str
    guest: Guest
    action: Literal["start", "shutdown", "stop", "migrate", "suspend", "resume"]
    """``suspend`` and ``resume``: since 1.1."""
    outcome: str
    """``ok``, or why not."""


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """A task ended."""

    upid: str
    node: str
    type: str
    id: str
    user: str
    start: datetime
    end: datetime
    status: str
    """``OK``, ``WARNINGS: n`` or the error."""


# --- store -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """The value of a key. Since 1.1."""

    data: bytes = field(repr=False)
    revision: str
    """Another one after each change; never empty."""


@dataclass(frozen=True, slots=True)
class StoreListing:
    """The keys of a store at one moment. Since 1.1."""

    revisions: Mapping[str, str]
    """The revision of each key."""
    position: str
    """That moment, for ``store_watch``."""


@dataclass(frozen=True, slots=True)
class StoreLock:
    """A lock of a store. Since 1.1."""

    name: str
    holder: str
    """What its holder says about itself; empty where nobody knows."""
    token: str
    """What proves that it is ours; empty where it is another's."""

"""All that a plugin may import, together with :mod:`pvefw.testing`.

What is here keeps its name and meaning for as long as :data:`PLUGIN_API` is the same.
"""

from pvefw import PLUGIN_API
from pvefw.core.causes import of as cause_of
from pvefw.core.errors import (
    Cancelled,
    CredentialsRejected,
    NothingRuns,
    ProviderError,
    RateLimited,
    Unavailable,
    Unsupported,
)
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import (
    NOTICES,
    BootPlan,
    BootState,
    BootSyncedEvent,
    BootTree,
    CatalogEntry,
    CertificateEvent,
    Challenge,
    Esp,
    Firmware,
    Guest,
    GuestEvent,
    GuestPowerEvent,
    GuestState,
    Identifier,
    Kernel,
    MigrateOptions,
    MigrateTarget,
    NoticeEvent,
    RenewalFailedEvent,
    RenewalsEvent,
    ServedEvent,
    SettingInfo,
    Severity,
    StoreEntry,
    StoreListing,
    StoreLock,
    Task,
    TaskEvent,
    TxtRecord,
    Urgency,
)
from pvefw.core.settings import setting
from pvefw.host.answers import read_answer
from pvefw.host.durable import remove_file, replace_file
from pvefw.host.fat import check_versions
from pvefw.host.foreign import directory as open_directory
from pvefw.host.kernel_parameters import names_nothing
from pvefw.host.listening import listen
from pvefw.host.programs import Sandbox, run

__all__ = [
    "NOTICES",
    "PLUGIN_API",
    "BootPlan",
    "BootState",
    "BootSyncedEvent",
    "BootTree",
    "Cancelled",
    "CatalogEntry",
    "CertificateEvent",
    "Challenge",
    "CredentialsRejected",
    "Esp",
    "Firmware",
    "Guest",
    "GuestEvent",
    "GuestPowerEvent",
    "GuestState",
    "Identifier",
    "Kernel",
    "MigrateOptions",
    "MigrateTarget",
    "NothingRuns",
    "NoticeEvent",
    "ProviderError",
    "RateLimited",
    "RenewalFailedEvent",
    "RenewalsEvent",
    "Sandbox",
    "ServedEvent",
    "SettingInfo",
    "Severity",
    "StoreEntry",
    "StoreListing",
    "StoreLock",
    "Task",
    "TaskEvent",
    "TxtRecord",
    "Unavailable",
    "Unsupported",
    "Urgency",
    "cause_of",
    "check_versions",
    "hookimpl",
    "listen",
    "names_nothing",
    "open_directory",
    "read_answer",
    "remove_file",
    "replace_file",
    "run",
    "setting",
]

"""The families of plugins: what each is called, which hooks it has, how they are called."""

import importlib
from dataclasses import dataclass
from functools import cached_property

from pvefw import PROJECT


@dataclass(frozen=True)
class Family:
    """One kind of plugin: where its entry points are, which hooks it has, how they are called."""

    name: str
    """As users write it: ``dns``."""
    specification: str
    """Its hook specification, ``module:class``. It is imported when it is asked for: pluggy, whose marks
    it has, takes as long to import as a quick command to end.
    """
    call_seconds: float | None = 300.0
    """How long one call may take; ``None`` where the hooks get time-outs of their own."""
    one_at_a_time: bool = True
    """Whether calls of one instance wait for each other."""
    question: str = ""
    """A hook that changes nothing: what ``test`` asks an instance. It may take ``root`` and ``task``."""
    answers: str = ""
    """What there are some of in the answer, in the singular."""

    @cached_property
    def spec(self) -> type:
        """The hook specification."""
        module, _, name = self.specification.partition(":")
        spec: type = getattr(importlib.import_module(module), name)
        return spec

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"{PROJECT}.{self.name}"

    @property
    def hooks(self) -> dict[str, bool]:
        """Every hook's name, and whether it is required."""
        return {
            name: not hasattr(member, "pvefw_optional")
            for name, member in vars(self.spec).items()
            if hasattr(member, f"{PROJECT}_spec")
        }


CHALLENGE = Family(
    "challenge",
    "pvefw.core.hookspecs.challenge:ChallengeSpec",
    call_seconds=120.0,
    question="challenge_types",
    answers="challenge type",
)
DNS = Family("dns", "pvefw.core.hookspecs.dns:DnsSpec", question="dns_zones", answers="zone")
DNS_CATALOG = Family(
    "dns_catalog",
    "pvefw.core.hookspecs.dns:DnsCatalogSpec",
    call_seconds=60.0,
    question="catalog_names",
    answers="provider",
)
BOOTLOADER = Family(
    "bootloader",
    "pvefw.core.hookspecs.boot:BootloaderSpec",
    call_seconds=600.0,
    question="boot_firmware",
    answers="firmware type",
)
GUEST = Family(
    "guest",
    "pvefw.core.hookspecs.guest:GuestSpec",
    call_seconds=None,
    one_at_a_time=False,
    question="guest_list",
    answers="guest",
)
OBSERVER = Family("observer", "pvefw.core.hookspecs.observer:ObserverSpec")
STORE = Family(
    "store", "pvefw.core.hookspecs.store:StoreSpec", call_seconds=60.0, one_at_a_time=False
)

FAMILIES = {
    family.name: family
    for family in (CHALLENGE, DNS, DNS_CATALOG, BOOTLOADER, GUEST, OBSERVER, STORE)
}
"""By name."""

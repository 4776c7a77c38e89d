"""A catalogue of the DNS providers that scripts for acme.sh's dnsapi know: each script is a provider."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.api import CatalogEntry, ProviderError, Task, TxtRecord, hookimpl, setting
from pvefw_acme_dns_generic import script_info
from pvefw_acme_dns_generic.runner import Script

PLACES = ("/usr/share/proxmox-acme/dnsapi", "~/.acme.sh/dnsapi", "/usr/share/acme.sh/dnsapi")
_SCRIPT = re.compile(r"dns_(?P<name>[A-Za-z0-9_]+)\.sh")


@dataclass
class Acmesh:
    """DNS providers through scripts written for acme.sh, unmodified."""

    path: Path | None = setting(
        help="A directory with dns_*.sh scripts; its scripts win over those in the usual places.",
        default=None,
    )
    unconfined: bool = setting(
        help="Run scripts also where they cannot be kept apart from other programs.", default=False
    )

    @hookimpl
    def catalog_names(self, root: Path) -> Sequence[str]:
        """The names of all scripts found."""
        return sorted(self._scripts(root))

    @hookimpl
    def catalog_entry(self, name: str, root: Path) -> CatalogEntry:
        """What a script's info block and its text say; neither is complete, so every key is accepted."""
        script = self._script(name, root)
        info = script_info.parse(name, script.read_text(encoding="utf-8-sig", errors="replace"))
        return CatalogEntry(name, info.title, info.settings, info.docs, open=True)

    @hookimpl
    def catalog_make(self, name: str, values: Mapping[str, str], root: Path) -> "ScriptedDns":
        """A provider that runs the script."""
        return ScriptedDns(
            Script(name, self._script(name, root), values, unconfined=self.unconfined)
        )

    def _scripts(self, root: Path) -> dict[str, Path]:
        own = [self.path] if self.path else []
        places = [_below(root, place) for place in (*own, *map(Path, PLACES))]
        scripts: dict[str, Path] = {}
        for path in (script for place in places for script in sorted(place.glob("dns_*.sh"))):
            if match := _SCRIPT.fullmatch(path.name):
                scripts.setdefault(match["name"], path)
        return scripts

    def _script(self, name: str, root: Path) -> Path:
        try:
            return self._scripts(root)[name]
        except KeyError as error:
            raise ProviderError(f"there is no script dns_{name}.sh") from error


def _below(root: Path, place: Path) -> Path:
    """A directory of the host as it lies below the root; one that is below it already stays."""
    absolute = place.expanduser().absolute()
    if absolute.is_relative_to(root):
        return absolute
    return root / absolute.relative_to(absolute.anchor)


@dataclass(init=False)
class ScriptedDns:
    """One provider. Its settings are the script's; the catalogue knows them."""

    def __init__(self, script: Script) -> None:
        self._script = script

    @hookimpl
    def dns_add(self, records: Sequence[TxtRecord], task: Task) -> None:
        """Call the script's add for every record."""
        self._script.call("add", records, task)

    @hookimpl
    def dns_remove(self, records: Sequence[TxtRecord], task: Task) -> None:
        """Call the script's rm for every record."""
        self._script.call("rm", records, task)

"""``plugin new``: writes the project of a new plugin, complete but for what only its author knows.

The templates lie in ``templates/``: what is ``common`` to all families, and one folder for each, or for
each kind of challenge. They are files of :class:`string.Template`; ``MODULE`` in a path is the package's
name.
"""

import contextlib
import keyword
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from pvefw import PLUGIN_API, api
from pvefw.core import finding
from pvefw.core.errors import UsageError
from pvefw.core.families import Family
from pvefw.host.durable import make_directory
from pvefw.store import files

_LONGEST = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_SUFFIX = ".in"


@dataclass(frozen=True)
class _Kind:
    """What projects of one family have of their own."""

    prefix: str
    """What their distributions' names begin with."""
    summary: str
    requires: Sequence[str] = ()
    """Beside pvefw."""


@dataclass(frozen=True)
class _Template:
    """What projects for one type of challenge have of their own."""

    folder: str
    requires: Sequence[str] = ()
    """Beside pvefw."""


_KINDS = {
    "dns": _Kind("pvefw-acme-dns-", "DNS at {} for pvefw", ["requests>=2.31"]),
    "challenge": _Kind("pvefw-acme-", "ACME challenges by {} for pvefw"),
    "bootloader": _Kind("pvefw-bootloader-", "The boot loader {} for pvefw"),
    "guest": _Kind("pvefw-guest-", "Guests of {} for pvefw", ["requests>=2.31"]),
    "observer": _Kind("pvefw-observer-", "Deploys certificates to {} for pvefw"),
    "store": _Kind("pvefw-store-", "Shares the files of a cluster through {}, for pvefw"),
}
FAMILIES = tuple(_KINDS)
"""The families that there are templates for."""
_CHALLENGES = {
    "http-01": _Template("challenge-http-01"),
    "tls-alpn-01": _Template("challenge-tls-alpn-01", ["cryptography>=42"]),
    "dns-01": _Template("challenge-dns", ["requests>=2.31"]),
    "dns-account-01": _Template("challenge-dns", ["requests>=2.31"]),
}
CHALLENGE_TYPES = tuple(_CHALLENGES)
"""What a plugin of the challenge family can be written for; the first one where nothing is said."""


@dataclass(frozen=True)
class Project:
    """A plugin that is to be written; all its names come from one."""

    family: Family
    name: str
    """As administrators write it: ``acme-corp``."""
    title: str
    """As it was typed: ``Acme-Corp``."""
    type: str = ""
    """Of challenges: one of :data:`CHALLENGE_TYPES`; empty for other families."""

    @classmethod
    def named(cls, family: Family, text: str, type: str | None = None) -> "Project":  # noqa: A002 - as the CLI calls it
        """A project by the name that its author has typed: upper case, ``_`` and ``.`` are fine.

        :param type: one of :data:`CHALLENGE_TYPES`, for the challenge family.
        :raises UsageError: it cannot be the name of a distribution and a module, or is taken; another
            family has no types.
        """
        if type and family.name != "challenge":
            raise UsageError(
                f"plugin new: plugins of the family {family.name} have no type",
                hint="Leave --type out: it is for challenges.",
            )
        name = re.sub(r"[-_.]+", "-", text).lower()
        if not text.isascii() or not _NAME.fullmatch(name) or len(name) > _LONGEST:
            raise UsageError(
                f"plugin new: {text[: 2 * _LONGEST]!r} cannot be a plugin's name",
                hint=f"Use a letter, then letters, digits and dashes, {_LONGEST} at most: acmecorp",
            )
        for info in finding.installed(family):
            if info.name == name:
                raise UsageError(
                    f"plugin new: {info.who} is installed and has that name",
                    hint="Choose another one; two plugins with one name cannot be used.",
                )
        return cls(family, name, text, (type or CHALLENGE_TYPES[0]) * (family.name == "challenge"))

    @property
    def folder(self) -> str:
        """Where its templates are."""
        return _CHALLENGES[self.type].folder if self.type else self.family.name

    @property
    def distribution(self) -> str:
        """``pvefw-acme-dns-acme-corp``."""
        return f"{_KINDS[self.family.name].prefix}{self.name}"

    @property
    def module(self) -> str:
        """``pvefw_acme_dns_acme_corp``."""
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """``AcmeCorp``; with ``Plugin`` behind it where Python or pvefw need that name themselves."""
        made = "".join(part.capitalize() for part in self.name.split("-"))
        taken = keyword.iskeyword(made) or made in api.__all__ or made in _USED
        return f"{made}Plugin" if taken else made

    @property
    def words(self) -> dict[str, str]:
        """What stands for each ``$word`` in a template."""
        kind = _KINDS[self.family.name]
        more = _CHALLENGES[self.type].requires if self.type else kind.requires
        requires = [f"pvefw>={PLUGIN_API},<{PLUGIN_API + 1}", *more]
        return {
            "api": str(PLUGIN_API),
            "class": self.class_name,
            "dependencies": ", ".join(f'"{requirement}"' for requirement in requires),
            "distribution": self.distribution,
            "family": self.family.name,
            "module": self.module,
            "name": self.name,
            "next_api": str(PLUGIN_API + 1),
            "summary": kind.summary.format(self.title),
            "title": self.title,
            "type": self.type,
        }


_USED = {"Path", "Provider"}
"""Names that templates import or define, beside those of :mod:`pvefw.api`."""


def files_of(project: Project) -> Iterator[tuple[PurePosixPath, str]]:
    """Every file of a project: its path in the project's directory, and its text."""
    root = resources.files(__name__) / "templates"
    for part in ("common", project.folder):
        for path, template in _walk(root / part, PurePosixPath()):
            named = PurePosixPath(str(path).replace("MODULE", project.module))
            text = template.read_text(encoding="utf-8")
            yield named.with_suffix(""), Template(text).substitute(project.words)


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.is_dir():
            yield from _walk(file, path / file.name)
        elif file.name.endswith(_SUFFIX):
            yield path / file.name, file


def write(project: Project, directory: Path) -> list[PurePosixPath]:
    """Write a project, all of it or nothing.

    :param directory: where; it must not exist, or be empty.
    :returns: what was written, relative to it.
    :raises UsageError: something already exists.
    :raises StoreError: it cannot be written.
    """
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise UsageError(f"plugin new: {directory} is not a directory", hint=_ELSEWHERE)
    try:
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"plugin new: {directory} is not empty", hint=_ELSEWHERE)
        make_directory(directory.parent)
        staged = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        raise files.failed("write", directory, error) from error
    written = []
    try:
        staged.chmod(0o755)
        for path, text in files_of(project):
            files.replace(staged / path, text.encode())
            written.append(path)
        files.rename(staged, directory)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(staged)
    return sorted(written)


_ELSEWHERE = "Name another place with --directory."

"""Pin everything that .venv holds, but for this repository's own distributions: the versions in
constraints.txt, and the hashes of their files in hashes.txt.

    python tools/constraints.py [REQUIREMENTS...]

Hashes come from the index that pip is set to use (its JSON form, PEP 691), and are those of every file
that a Debian which is supported may be given: source archives, and wheels for its interpreters and our
architectures. Files of requirements that are pinned already get hashes in place.
"""

import functools
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hashed import HASHES, normalized, requirements
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

CONSTRAINTS = HASHES.with_name("constraints.txt")
PYTHONS = ((3, 11), (3, 13))  # of Debian 12 and 13
_PLATFORM = re.compile(r"any|(?:many)?linux\w*_(?:x86_64|aarch64)")
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
VERSIONS_ARE = """\
# The versions that tests run with: everything that .venv holds but this repository's distributions.
# `make constraints` writes it. It pins; what is needed is said in each pyproject.toml.
"""
HASHES_ARE = """\
# Every file that may be installed for what constraints.txt pins; `make constraints` writes it.
"""


@functools.cache
def able() -> set[tuple[str, str]]:
    """The interpreters and ABIs that wheels for the supported Debians may name."""
    return {
        (tag.interpreter, tag.abi)
        for major, minor in PYTHONS
        for known_tags in (
            cpython_tags((major, minor), platforms=["linux"]),
            compatible_tags((major, minor), f"cp{major}{minor}", ["linux"]),
        )
        for tag in known_tags
    }


def fits(file: str, version: Version) -> bool:
    """Whether a file is of a version, and an sdist or a wheel that a supported Debian installs."""
    try:
        if not file.endswith(".whl"):
            return parse_sdist_filename(file)[1] == version
        _, of, _, tags = parse_wheel_filename(file)
    except (InvalidSdistFilename, InvalidWheelFilename):
        return False  # an egg, an installer for Windows
    return of == version and any(
        (tag.interpreter, tag.abi) in able() and _PLATFORM.fullmatch(tag.platform) for tag in tags
    )


def index() -> Callable[[str], Mapping[str, Any]]:
    """Reads what the index that pip is set to use says of a project, with pip's own session: its
    certificates, proxies and credentials.
    """
    from pip._internal.commands import create_command

    command: Any = create_command("download")
    options, _ = command.parse_args([])
    session = command._build_session(options)  # noqa: SLF001 - pip has no other way to be asked this

    def read(name: str) -> Mapping[str, Any]:
        answer = session.get(f"{options.index_url.rstrip('/')}/{normalized(name)}/", headers=_JSON)
        answer.raise_for_status()
        document: Mapping[str, Any] = answer.json()
        return document

    return read


def with_hashes(pins: str, read: Callable[[str], Mapping[str, Any]]) -> str:
    """Requirements with the hashes of their files.

    :param pins: a line ``NAME==VERSION`` each, with or without hashes.
    :raises ValueError: the index has no file of a release.
    """
    lines = []
    for pin in (line.split()[0] for line in requirements(pins).values()):
        name, _, version = pin.partition("==")
        hashes = {
            file["hashes"]["sha256"]
            for file in read(name)["files"]
            if fits(file["filename"], Version(version))
        }
        if not hashes:
            raise ValueError(f"{pin}: the index has no file of it")
        lines.append(" \\\n    --hash=sha256:".join([pin, *sorted(hashes)]))
    return "".join(f"{line}\n" for line in lines)


def main(files: list[str]) -> None:
    """Write the two files from what is installed next to this interpreter, and hashes into others."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "freeze", "--all"]
    # pip is Debian's; what builds libraries is not, and is pinned as they are
    pip += ["--exclude-editable", "--exclude", "pip"]
    frozen = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    read = index()
    hashes = with_hashes(frozen, read)
    CONSTRAINTS.write_text(VERSIONS_ARE + frozen)
    HASHES.write_text(HASHES_ARE + hashes)
    for path in map(Path, files):
        path.write_text(with_hashes(path.read_text(), read))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What `make dist` builds: the same bytes everywhere, complete, and enough to install pvefw from."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packages.conftest import build, copy_of_the_sources

from pvefw import __version__

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
pytestmark = pytest.mark.xdist_group("packages")


@pytest.fixture(scope="module")
def wheels(dist):
    found = sorted(dist.glob("*.whl"))
    projects = [*ROOT.glob("plugins/*/pyproject.toml"), ROOT / "pyproject.toml", ROOT / "shims"]
    assert len(found) == len(projects)
    return found


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(
            member for member in archive.namelist() if member.endswith(".dist-info/METADATA")
        )
        return HeaderParser().parsestr(archive.read(name).decode())


def test_the_same_sources_give_the_same_bytes(dist, tmp_path):
    first = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.iterdir()}
    elsewhere = copy_of_the_sources(tmp_path / "a place with another name", 0o077)
    again = build(
        elsewhere, tmp_path / "dist", SOURCE_DATE_EPOCH="1700000000", TZ="Asia/Tokyo", LC_ALL="C"
    )
    assert again == first
    assert len(first) >= 2


def test_metadata_is_complete(wheels):
    for wheel in wheels:
        said = metadata(wheel)
        assert said["Version"] == __version__, wheel
        assert said["License-Expression"] == "Apache-2.0", wheel
        assert said["License-File"] == "LICENSE", wheel
        assert said["Summary"], wheel
        assert said["Requires-Python"] == ">=3.11", wheel
        assert said["Description-Content-Type"] == "text/markdown", wheel
        assert said.get_payload().lstrip().startswith("# "), wheel
        if said["Name"] != "pvefw":
            needed = said.get_all("Requires-Dist")
            assert "pvefw<2,>=1.1" in needed, wheel
            ours = [requirement for requirement in needed if re.match(r"pvefw\b", requirement)]
            assert all(requirement.endswith("<2,>=1.1") for requirement in ours), wheel


def test_wheels_hold_types_and_nothing_foreign(wheels):
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        package = wheel.name.partition("-")[0]
        assert f"{package}/py.typed" in names, wheel
        tops = {name.partition("/")[0].partition("-")[0] for name in names}
        assert tops == {package}, wheel


def test_sdists_hold_what_they_are_built_from(dist):
    for sdist in dist.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names, sdist
        assert not [name for name in names if "__pycache__" in name], sdist


class Pipx:
    """pipx with a home of its own, far from the repository."""

    def __init__(self, home):
        self.home = home
        (home / "root").mkdir()
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "PIPX_HOME": str(home / "pipx"),
            "PIPX_BIN_DIR": str(home / "bin"),
            "PIPX_MAN_DIR": str(home / "man"),
            "PATH": f"{home}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PVEFW_ROOT": str(home / "root"),
            "PVEFW_NODE": "pve1",
        }

    def __call__(self, *argv, status=0):
        done = subprocess.run(
            [str(argument) for argument in argv],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert status in (None, done.returncode), f"{argv}: {done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def pipx(wheels, tmp_path_factory):
    """pvefw installed as the README says, from the wheels alone."""
    pipx = Pipx(tmp_path_factory.mktemp("pipx"))
    core = next(wheel for wheel in wheels if wheel.name.startswith("pvefw-"))
    python = Path(sys.base_prefix) / "bin/python3"
    with_versions = f"--pip-args=--constraint {CONSTRAINTS}"
    pipx("pipx", "install", "--python", python, with_versions, core)
    shims = next(wheel for wheel in wheels if wheel.name.startswith("pvefw_shims-"))
    plugin, *others = [wheel for wheel in wheels if wheel not in (core, shims)]
    pipx("pipx", "inject", with_versions, "pvefw", plugin)
    # pipx starts pip for each: the others all at once
    pipx("pipx", "runpip", "pvefw", "install", "--constraint", CONSTRAINTS, *others)
    pipx("pipx", "inject", with_versions, "--include-apps", "pvefw", shims)
    return pipx


def test_pvefw_is_installed_without_the_repository(pipx):
    assert pipx("pvefw", "--version") == f"pvefw {__version__}\n"
    python = pipx.home / "pipx/venvs/pvefw/bin/python"
    where = pipx(python, "-c", "import pvefw; print(pvefw.__file__)").strip()
    assert Path(where).is_relative_to(pipx.home)
    assert "No broken requirements" in pipx(python, "-m", "pip", "check")


def test_every_plugin_that_is_injected_is_found_and_works(pipx):
    said = pipx("pvefw", "plugin", "doctor")
    wanted = {
        name
        for project in ROOT.glob("plugins/*/pyproject.toml")
        for group, names in re.findall(
            r'entry-points\."pvefw\.(\w+)"\]\n((?:[\w".-]+ = .*\n)+)', project.read_text()
        )
        for name in [f"{group}/{line.split(' ')[0].strip(chr(34))}" for line in names.splitlines()]
    }
    wanted = {name for name in wanted if not name.startswith("units/")}
    commands = {name for name in wanted if name.startswith("command/")}
    assert commands
    for name in commands:
        assert "Usage:" in pipx("pvefw", *name.removeprefix("command/").split("."), "--help")
    assert len(wanted - commands) > 5
    for name in wanted - commands:
        assert re.search(rf"^{re.escape(name)} .*: ok", said, re.MULTILINE), said


def test_the_shims_the_manual_and_the_completion_come_along(pipx):
    pipx("pvenode", "config", "set", "-description", "installed from wheels")
    assert "installed from wheels" in pipx("pvenode", "config", "get")
    assert "installed from wheels" in pipx("pvesh", "get", "/nodes/localhost/config")
    share = pipx.home / "pipx/venvs/pvefw/share"
    assert (share / "man/man1/pvefw-acme.1").exists()
    assert (share / "bash-completion/completions/pvefw").exists()


# --- upgrade and downgrade, as docs/backup.md shows them ----------------------------------------------

NEWER = "1.2.0"


def released(wheel, version, folder):
    """The same wheel as a later release: its version and what goes with it are others, nothing else."""
    old = metadata(wheel)["Version"]
    target = folder / wheel.name.replace(f"-{old}-", f"-{version}-")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            data = source.read(name)
            if name == "pvefw/__init__.py":
                data = data.replace(f'"{old}"'.encode(), f'"{version}"'.encode())
            elif name.endswith((".dist-info/METADATA", ".dist-info/RECORD")):
                data = data.replace(f"Version: {old}\n".encode(), f"Version: {version}\n".encode())
                # the hashes are those of the files as they were: pip compares none
                data = data.replace(
                    f"-{old}.dist-info/".encode(), f"-{version}.dist-info/".encode()
                )
            copy.writestr(name.replace(f"-{old}.dist-info/", f"-{version}.dist-info/"), data)
    return target


@pytest.fixture
def index(pipx, wheels, tmp_path):
    """An index with all distributions, pvefw twice; pipx takes them to be from there."""
    folder = tmp_path / "index"
    core = next(wheel for wheel in wheels if wheel.name.startswith("pvefw-"))
    later = released(core, NEWER, tmp_path)
    for wheel in (*wheels, later):
        name = metadata(wheel)["Name"]
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / wheel.name).write_bytes(wheel.read_bytes())
    for project in folder.iterdir():
        links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in project.iterdir())
        (project / "index.html").write_text(links)
    noted = pipx.home / "pipx/venvs/pvefw/pipx_metadata.json"
    known = json.loads(noted.read_text())
    for package in (known["main_package"], *known["injected_packages"].values()):
        package["package_or_url"], package["pip_args"] = package["package"], []
    noted.write_text(json.dumps(known))
    pipx.env |= {"PIP_INDEX_URL": folder.as_uri(), "PIP_NO_DEPS": "1"}


def shown_in(section):
    """The blocks of commands of a section of docs/backup.md, each a list of lines."""
    text = (
        (ROOT / "docs/backup.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    )
    return [block.split("\n") for block in re.findall(r"^ {4}.*(?:\n {4}.*)*", text, re.MULTILINE)]


def test_an_upgrade_and_a_downgrade_lose_nothing(pipx, index):
    """A newer release leaves a property that the older one does not know; that ignores and keeps it."""
    pipx("pvefw", "config", "set", "-acmedomain0", "pve1.example", "-description", "before")
    pipx("pvefw", "cert", "ca", "init")
    upgrade, downgrade = shown_in("Upgrade and downgrade")
    for version, commands in ((NEWER, upgrade), (__version__, downgrade)):
        for command in commands:
            line = command.strip().replace("pvefw==1.0.0", f"pvefw=={version}")
            pipx("bash", "-c", line, status=None if "status" in line else 0)
        assert pipx("pvefw", "--version") == f"pvefw {version}\n"
        said = pipx("pvefw", "config", "get")
        assert "pve1.example" in said and "before" in said
        assert "certca" in pipx("pvefw", "task", "list")
        assert "pve-root-ca.pem" in pipx("pvefw", "cert", "info")
        config = pipx.home / "root/etc/pve/nodes/pve1/pvefw.cfg"
        config.write_text("of-a-newer-release: blue\n")
        pipx("pvefw", "config", "set", "-key-type", "ec384")
        assert "of-a-newer-release: blue" in config.read_text()

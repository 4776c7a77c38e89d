"""The Debian packages on a fresh Debian: they install, work, and go away again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from resources import uses

from pvefw import __version__

ROOT = Path(__file__).resolve().parents[2]
SUITE = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())[1]
SOURCES = [
    Path("/etc/apt/sources.list"),
    *sorted(Path("/etc/apt/sources.list.d").glob("debian*.*")),
]
pytestmark = [pytest.mark.xdist_group("packages"), pytest.mark.timeout(1200)]
NOT_OURS = ("proc", "sys", "dev", "tmp", "var/lib/dpkg", "var/cache", "var/log", "run/systemd")
"""What a package manager and a chroot change by themselves."""


@pytest.fixture(scope="module")
@uses("build")
def packages(dist, tmp_path_factory):
    """The packages by name."""
    target = tmp_path_factory.mktemp("debs")
    build(target, dist)
    return {path.name.partition("_")[0]: path for path in target.glob("*.deb")}


def build(*arguments):
    """As `make deb` does it, but for the time that it takes to compress them well."""
    env = {**os.environ, "DPKG_DEB_COMPRESSOR_LEVEL": "0"}
    subprocess.run([sys.executable, ROOT / "tools/deb.py", *arguments], env=env, check=True)


def field(package, name):
    asked = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


class Debian:
    """A Debian of its own, in a folder."""

    def __init__(self, root):
        self.root = root

    def __call__(self, *argv, status=0):
        done = subprocess.run(
            ["chroot", str(self.root), *argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PVEFW_NODE": "pve1", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{argv}: {done.stdout}"
        return done.stdout

    def install(self, *packages):
        for package in packages:
            (self.root / "tmp" / package.name).write_bytes(package.read_bytes())
        self("dpkg", "--install", *(f"/tmp/{package.name}" for package in packages))

    def files(self):
        """Everything that lies there, but what nobody calls left behind."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {name for name in found if not name.startswith(NOT_OURS)}


@pytest.fixture(scope="module")
def debian(packages, tmp_path_factory):
    needed = [field(packages["pvefw"], name) for name in ("Depends", "Recommends")]
    names = [part.split(" ")[0] for part in ", ".join(needed).split(", ")]
    root = tmp_path_factory.mktemp("debian") / "root"
    subprocess.run(
        [
            *["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"],
            f"--include={','.join(dict.fromkeys([*names, 'systemd']))}",
            *['--aptopt=Acquire::Languages "none"', SUITE, str(root)],
            *(str(source) for source in SOURCES if source.exists()),
        ],
        check=True,
    )
    return Debian(root)


@uses("night")  # of wheels it is tried every time
def test_the_packages_are_the_same_whenever_they_are_built(packages, tmp_path):
    build(tmp_path)
    for package in packages.values():
        assert (tmp_path / package.name).read_bytes() == package.read_bytes(), package.name


def test_they_install_work_and_leave_nothing_but_configuration(packages, debian):
    before = debian.files()
    debian.install(packages["pvefw"], packages["pvefw-shims"])

    assert debian("pvefw", "--version") == f"pvefw {__version__}\n"
    debian("pvenode", "config", "set", "-description", "rack 12")
    assert "rack 12" in debian("pvefw", "config", "get", "--output-format", "json")
    doctor = debian("pvefw", "plugin", "doctor", "--output-format", "json")
    assert "challenge" in doctor
    units = sorted((debian.root / "usr/lib/systemd/system").glob("pvefw-*"))
    assert {"pvefw-renew.timer", "pvefw-recover.service"} <= {unit.name for unit in units}
    said = debian(
        "systemd-analyze", "verify", *(f"/usr/lib/systemd/system/{u.name}" for u in units)
    )
    assert "pvefw-" not in said
    assert (debian.root / "usr/share/bash-completion/completions/pvefw").exists()
    assert (debian.root / "usr/share/cockpit/pvefw/manifest.json").exists()
    assert "rack 12" in debian("pvesh", "get", "/nodes/localhost/config")
    wants = debian.root / "etc/systemd/system/timers.target.wants/pvefw-renew.timer"
    assert wants.is_symlink()

    debian("dpkg", "--remove", "pvefw-shims", "pvefw")
    left = debian.files() - before
    assert left, "the configuration is gone, too"
    assert [
        name
        for name in left
        if not name.startswith(("etc/pve", "var/lib/pvefw", "run/lock", "run/pvefw"))
    ] == []

    debian("dpkg", "--purge", "pvefw")
    kept = debian.files() - before
    assert [
        name for name in kept if not name.startswith(("etc/pve", "run/lock", "run/pvefw"))
    ] == []


def test_the_page_has_a_package_that_needs_nothing(packages):
    """For hosts where pvefw is not a package of Debian's; where it is, it has the page."""
    page = packages["cockpit-pvefw"]
    assert [field(page, name) for name in ("Depends", "Architecture")] == ["", "all"]
    assert field(packages["pvefw"], "Conflicts") == "cockpit-pvefw"

    def files(package):
        asked = subprocess.run(
            ["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True
        )
        names = [line.split()[-1] for line in asked.stdout.splitlines()]
        return {name for name in names if "/cockpit/" in name and not name.endswith("/")}

    assert files(page) == files(packages["pvefw"])
    assert "./usr/share/cockpit/pvefw/manifest.json" in files(page)


def test_the_shims_are_not_for_hosts_that_have_the_originals(packages):
    assert "pve-manager" in field(packages["pvefw-shims"], "Conflicts")

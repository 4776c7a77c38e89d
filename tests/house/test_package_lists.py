"""apt is asked with package lists that are up to date: missing and old ones are fetched, once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from privileges import only_root
from servers.machines import kernels as machines_kernels

ROOT = Path(__file__).resolve().parents[2]
KERNELS = """
from servers.machines import kernels
kernels._fetch = lambda version: version
print(*kernels.boot_kernels())
"""
pytestmark = only_root("fetches package lists")


class Apt:
    """An apt of its own, whose archive is a folder."""

    def __init__(self, base):
        self.archive, self.state = base / "archive", base / "state"
        self.lists = self.state / "lists"
        self.changed = time.time() - 100
        for folder in (self.archive, self.lists / "partial", base / "cache/archives/partial"):
            folder.mkdir(parents=True)
        (self.state / "status").touch()
        (base / "sources").write_text(f"deb [trusted=yes] copy:{self.archive} ./\n")
        (base / "none").mkdir()
        config = base / "apt.conf"
        config.write_text(
            f'Dir::State "{self.state}"; Dir::State::status "{self.state}/status";\n'
            f'Dir::Cache "{base}/cache"; Dir::Etc::sourcelist "{base}/sources";\n'
            f'Dir::Etc::sourceparts "{base}/none"; Dir::Etc::parts "{base}/none";\n'
            'APT::Sandbox::User "root";\n'
        )
        self.env = {
            **os.environ,
            "APT_CONFIG": str(config),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]),
        }

    def has(self, *numbers):
        """Put these kernels, and no other, into the archive."""
        packages = "".join(
            f"Package: linux-image-6.1.0-{number}-cloud-amd64\n"
            f"Architecture: amd64\nVersion: 6.1.{number}\n"
            f"Filename: ./{number}.deb\nSize: 1\nSHA256: {number:064x}\n\n"
            for number in numbers
        )
        (self.archive / "Packages").write_text(packages)
        self.changed += 2
        os.utime(
            self.archive / "Packages", (self.changed, self.changed)
        )  # apt fetches what is newer

    def ask(self):
        """A process that asks for three kernels."""
        return subprocess.Popen(
            [sys.executable, "-c", KERNELS],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def update(self):
        subprocess.run(["apt-get", "update"], env=self.env, check=True, capture_output=True)

    def fetched(self, days):
        """Say that the lists were fetched so many days ago."""
        stamp = time.time() - days * 86400
        os.utime(self.lists, (stamp, stamp))


@pytest.fixture
def apt(tmp_path):
    return Apt(tmp_path)


def kernels(asker):
    out, err = asker.communicate(timeout=120)
    assert asker.returncode == 0, err
    return out.split(), err


THREE = [f"6.1.0-{number}-cloud-amd64" for number in (3, 2, 1)]


def test_missing_lists_are_fetched_and_that_is_said(apt):
    apt.has(1, 2, 3)
    found, said = kernels(apt.ask())
    assert found == THREE
    assert said == "apt's package lists are missing: fetching them (apt-get update)\n"
    assert kernels(apt.ask()) == (THREE, "")


def test_where_an_archive_has_two_of_a_flavour_another_completes_them():
    """Debian 13's main archive, without its updates; with the packages that are no kernels."""
    versions = [f"6.12.{number}+deb13" for number in (107, 117)]
    flavours = ("amd64", "cloud-amd64", "rt-amd64", "cloud-amd64-unsigned", "amd64-dbg")
    names = [f"linux-image-{version}-{flavour}" for version in versions for flavour in flavours]
    chosen = machines_kernels._three(
        "\n".join([*names, "linux-image-cloud-amd64", "linux-image-6.12-amd64"])
    )
    assert chosen == [
        "6.12.117+deb13-cloud-amd64",
        "6.12.117+deb13-amd64",
        "6.12.107+deb13-cloud-amd64",
    ]


def test_old_lists_are_fetched_also_where_apt_knows_enough(apt):
    apt.has(1, 2, 3)
    apt.update()
    apt.fetched(days=2)
    apt.has(1, 2, 3, 4)
    found, said = kernels(apt.ask())
    assert found == ["6.1.0-4-cloud-amd64", *THREE[:2]]
    assert said == "apt's package lists are old: fetching them (apt-get update)\n"


def test_lists_that_do_not_know_enough_are_fetched(apt):
    """They name a kernel, but not three: that is what an image of last year has."""
    apt.has(1)
    apt.update()
    apt.fetched(days=0.5)
    apt.has(1, 2, 3)
    found, said = kernels(apt.ask())
    assert found == THREE
    assert said.count("fetching") == 1


def test_many_who_ask_at_once_fetch_them_once(apt):
    apt.has(1, 2, 3)
    answers = [kernels(answer) for answer in [apt.ask() for _ in range(3)]]
    assert [answer for answer, _ in answers] == [THREE] * 3
    assert sum(answer.count("fetching") for _, answer in answers) == 1


def test_without_an_archive_it_is_said_once_and_what_is_there_is_used(apt):
    apt.has(1, 2, 3)
    apt.update()
    apt.fetched(days=2)
    (apt.archive / "Packages").unlink()
    found, said = kernels(apt.ask())
    assert found == THREE
    assert "apt-get update failed" in said


def test_packages_are_installed_with_lists_that_are_up_to_date(apt):
    """tools/debian.py fetches lists where apt cannot find a package, and tries again."""
    apt.has(1, 2, 3)
    code = (
        "import sys; sys.path.insert(0, 'tools'); import debian; print(debian.install(['nowhere']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=apt.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
    assert done.stderr.count("fetching them") == 1
    assert "Unable to locate package nowhere" in done.stderr

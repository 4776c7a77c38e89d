"""What ``pvefw boot loader set`` changes: the settings of a loader, and whether this host uses it."""

import shlex
import sys

import pytest
from boot.conftest import KERNELS, UUIDS

from pvefw.cli import boot_context
from pvefw.cli.run import run
from pvefw_bootloader_systemd import installation

DEFAULT, OLD = KERNELS[-1], KERNELS[0]
ONE_SHOT = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
COUNTED = f"loader/entries/proxmox_{DEFAULT}+1.conf"
TIMED = """
from dataclasses import dataclass
from pathlib import PurePosixPath
from boot.conftest import Plain
from pvefw.api import hookimpl, setting

@dataclass
class Timed(Plain):
    timeout: int = setting(help="Seconds that the menu is shown.", default=3)

    def __post_init__(self):
        super().__init__("timed")

    @hookimpl
    def boot_render(self, esp, plan):
        tree = super().boot_render(esp, plan)
        tree.texts[PurePosixPath("timed/timeout")] = str(self.timeout).encode()
        return tree
"""
"""A loader of a third party."""


@pytest.fixture
def esps(machine):
    """The folders of two ESPs."""
    return [machine.directory / uuid for uuid in UUIDS]


@pytest.fixture
def pvefw(host, machine, monkeypatch, capsys):
    """Runs ``pvefw boot`` with the loaders that are installed; exit status, and what it said."""
    monkeypatch.setattr(boot_context, "machine", lambda _app: machine)
    host.paths.esp_uuids.write_text("".join(f"{uuid}\n" for uuid in UUIDS))

    def do(*arguments):
        status = run(["--root", str(host.root), "--node", "pve1", "boot", *arguments])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return do


@pytest.fixture
def settings(pvefw, host):
    """Gives a loader settings, as the lines of a file; exit status, and what it said."""

    def give(loader, *lines):
        host.write("data", "\n".join(lines))
        return pvefw("loader", "set", loader, "--data", str(host.root / "data"))

    return give


@pytest.fixture
def efivars(memory):
    """The variables of a firmware, in another place than usual."""
    folder = memory / "efivars"
    folder.mkdir()
    (folder / "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\7\0\0\0\0\0")
    return folder


@pytest.fixture
def systemd_boot(pvefw, settings, host, esps, memory, efivars, monkeypatch):
    """ESPs of systemd-boot that are in step, and ``pvefw boot``."""
    monkeypatch.setattr(installation, "PACKAGED", memory / "no-packages")
    (host.root / "sys/firmware/efi").mkdir()
    for esp in esps:
        binary = esp / "EFI/systemd/systemd-bootx64.efi"
        binary.parent.mkdir(parents=True)
        binary.write_text("#### LoaderInfo: systemd-boot 252.39 ####")
    assert settings("systemd-boot", f"efivars={efivars}") == (0, "")
    assert pvefw("refresh")[0] == 0
    return pvefw


@pytest.fixture
def timed(pvefw, esps, memory, monkeypatch):
    """ESPs of a third party's loader, and ``pvefw boot``."""
    info = memory / "site/dist_timed-1.0.dist-info"
    info.mkdir(parents=True)
    required = "Requires-Dist: pvefw>=1,<2\n"
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: dist-timed\nVersion: 1.0\n{required}"
    )
    (info / "entry_points.txt").write_text("[pvefw.bootloader]\ntimed = dist_timed:Timed\n")
    (info.parent / "dist_timed.py").write_text(TIMED)
    monkeypatch.syspath_prepend(str(info.parent))
    for esp in esps:
        (esp / "timed").mkdir()
        (esp / "timed/loader").write_text("1.0")
    yield pvefw
    sys.modules.pop("dist_timed", None)


def test_a_setting_reaches_every_esp_with_the_next_refresh(timed, settings, esps):
    assert timed("refresh")[0] == 0
    assert [(esp / "timed/timeout").read_text() for esp in esps] == ["3", "3"]

    assert settings("timed", "timeout=20") == (0, "")
    status, said = timed("status")
    assert (status, said.count("timed/timeout differs")) == (1, 2)
    assert timed("refresh")[0] == 0

    assert [(esp / "timed/timeout").read_text() for esp in esps] == ["20", "20"]
    assert timed("status", "--quiet")[0] == 0
    assert "timeout=20" in timed("loader", "config", "timed")[1].replace(": ", "=")
    assert timed("loader", "remove", "timed")[0] == 0
    assert timed("refresh")[0] == 0
    assert [(esp / "timed/timeout").read_text() for esp in esps] == ["3", "3"]


def test_systemd_boot_arms_a_boot_in_the_variables_that_are_set(
    systemd_boot, settings, esps, efivars, memory
):
    assert systemd_boot("kernel", "pin", OLD, "--next-boot")[0] == 0
    assert systemd_boot("refresh")[0] == 0
    assert OLD in (efivars / ONE_SHOT).read_bytes()[4:].decode("utf-16-le")
    assert not any((esp / COUNTED).exists() for esp in esps)

    assert settings("systemd-boot", f"efivars={memory}/not-mounted") == (0, "")
    status, said = systemd_boot("refresh")

    assert status == 0
    assert "counting boots instead" in said
    for esp in esps:
        assert f"version  {OLD}\n" in (esp / COUNTED).read_text()


@pytest.mark.parametrize(
    ("loader", "line", "said"),
    [
        ("timed", "timeout=soon", "timeout: 'soon' is not of type integer"),
        ("timed", "timeut=3", "timeut is not a setting (did you mean timeout?)"),
        ("systemd-boot", "efivar=/x", "efivar is not a setting (did you mean efivars?)"),
        ("grub", "timeout=3", "timeout is not a setting"),
        ("lilo", "timeout=3", "there is no bootloader plugin named lilo"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(timed, settings, loader, line, said):
    before = timed("loader", "list")
    status, out = settings(loader, line)
    assert status == (1 if loader == "lilo" else 2)  # which may be installed another day
    assert said in out
    assert "Traceback" not in out
    assert timed("loader", "list") == before


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (["--disable"], "systemd-boot is disabled"),
        (["--nodes", "pve2"], "systemd-boot is not for node pve1"),
    ],
    ids=["disable", "nodes"],
)
def test_a_loader_that_is_not_used_leaves_its_esps_and_says_so(
    systemd_boot, host, esps, option, why
):
    assert systemd_boot("loader", "set", "systemd-boot", *option) == (0, "")
    host.install("6.8.20-1-pve")
    before = sorted(path for esp in esps for path in esp.rglob("*"))

    status, said = systemd_boot("refresh")

    assert status == 1
    assert why in " ".join(said.split())
    assert sorted(path for esp in esps for path in esp.rglob("*")) == before
    assert systemd_boot("status")[0] == 1
    command = said.rpartition("pvefw boot ")[2].partition("\n")[0]
    assert systemd_boot(*shlex.split(command))[0] == 0
    assert systemd_boot("refresh")[0] == 0
    assert all(list(esp.rglob("vmlinuz-6.8.20-1-pve")) for esp in esps)


def test_nodes_that_name_this_one_change_nothing(systemd_boot):
    assert systemd_boot("loader", "set", "systemd-boot", "--nodes", "pve1,pve2") == (0, "")
    status, said = systemd_boot("refresh")
    assert (status, said.count("nothing has changed")) == (0, 2)

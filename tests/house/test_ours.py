"""What is said about plugins that are not installed is what their distributions say."""

import re
import tomllib

import pytest
from environments import ROOT

from pvefw.cli.run import run
from pvefw.core import finding
from pvefw.core.ours import OURS, how_to_get

COMMANDS = {
    "dns": ["acme", "plugin", "add", "dns", "x", "--api"],
    "guest": ["guest", "backend", "add", "x", "--api"],
    "observer": ["observer", "add", "x", "--api"],
}


def test_every_plugin_of_the_project_is_known():
    found = {}
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        for group, points in project.get("entry-points", {}).items():
            family = group.removeprefix("pvefw.")
            if family not in ("command", "units"):
                found.setdefault(family, {}).update(dict.fromkeys(points, project["name"]))
    assert {family: dict(names) for family, names in OURS.items()} == found


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in COMMANDS for name in OURS[family]]
)
def test_what_to_install_is_said_where_it_is_missing(monkeypatch, tmp_path, capsys, family, name):
    monkeypatch.setattr(finding, "installed", lambda _family: [])
    assert run(["--root", str(tmp_path), *COMMANDS[family], name]) == 1
    said, hint, debian = capsys.readouterr().err.splitlines()
    assert name in said
    assert hint == f"  Install it: pipx inject pvefw {OURS[family][name]}"
    assert "Debian package" in debian


@pytest.mark.parametrize(
    ("family", "name", "installed", "hint"),
    [
        ("observer", "smtp", ["mail", "exec"], "Did you mean mail?"),
        ("observer", "smtp", [], "pipx inject pvefw pvefw-observer-generic"),
        ("guest", "kvm", ["libvirt"], "Did you mean libvirt?"),
        ("guest", "xen", ["libvirt", "pve"], "Installed: libvirt, pve."),
        ("guest", "xen", ["pve"], "Can be installed: libvirt (pvefw-guest-libvirt)."),
        ("bootloader", "systemd", ["systemd-boot"], "Did you mean systemd-boot?"),
    ],
)
def test_what_is_meant(family, name, installed, hint):
    assert hint in how_to_get(family, name, installed)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("OVH", "ovh"), ("dns_rfc2136", "rfc2136"), ("clouflare", "cloudflare"), ("bind", "rfc2136")],
)
def test_a_provider_that_is_meant(tmp_path, capsys, name, meant):
    assert run(["--root", str(tmp_path), *COMMANDS["dns"], name]) == 1
    assert f"Did you mean {meant}?" in capsys.readouterr().err


def test_the_readme_ends_with_a_renewal_timer():
    way = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    typed = re.findall(r"^    (.+)$", way, re.MULTILINE)
    assert "pvefw renew install-timer" in typed
    assert typed.index("pvefw renew install-timer") > typed.index("pvefw acme cert order")

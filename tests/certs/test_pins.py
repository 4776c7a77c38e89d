"""A setting with the fingerprint of a certificate that pvefw replaces is said before it breaks."""

import json

import pytest
from certificates import NOW, Calendar, Log, own, self_signed

from pvefw.certs import chain, install, renew, renewal_plan, renewal_rule
from pvefw.certs.renewal_rule import Record
from pvefw.cli.run import run
from pvefw.core.errors import AcmeUnreachable
from pvefw.store import files

SAID = "its fingerprint is pinned and changes then"


@pytest.fixture
def pin(paths, monkeypatch):
    """A node with a certificate that an authority renews; its fingerprint."""

    def unreachable(*_):
        raise AcmeUnreachable("the authority is away")

    monkeypatch.setattr(renewal_plan, "_renewal_info", unreachable)
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)
    certificate, key = self_signed("pve1.example")
    files.replace(paths.proxy_certificate, certificate)
    files.replace(paths.proxy_key, key)
    files.replace(paths.node_config(), b"acmedomain0: pve1.example\n")
    return chain.describe(paths.proxy_certificate, certificate).fingerprint


def configure(paths, text):
    files.replace(paths.cluster_pvefw_cfg, text.encode())


def decided(paths):
    lines = []
    assert renew.run(paths, lines.append, lines.append, Calendar(), dry_run=True)
    return "\n".join(lines)


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "AA:BB,{}"])
@pytest.mark.parametrize("change", [str, str.lower, lambda text: text.replace(":", "")])
def test_every_form_of_a_pin_is_said_by_a_dry_run(paths, pin, form, change):
    configure(paths, f"guest: pve\n\ttoken a@b!c\n\tfingerprint {form.format(change(pin))}\n")
    assert f"guest backend pve: {SAID}" in decided(paths)


@pytest.mark.parametrize("family", ["guest", "observer"])
def test_status_says_it_of_every_family(paths, pin, family, capfd):
    configure(paths, f"{family}: remote\n\tapi nowhere\n\tpin {pin}\n")
    assert run(["status"]) == 1
    assert f"remote: {SAID}" in " ".join(capfd.readouterr().out.split())
    assert run(["status", "--output-format", "json"]) == 1
    part = json.loads(capfd.readouterr().out)["parts"]["certificates"]
    assert part["state"] == "attention"
    [pinning] = part["data"]["certificates"][0]["pinned-by"]
    assert pinning.endswith("remote")


@pytest.mark.parametrize(
    "text",
    [
        "guest: pve\n\tca_file /etc/pve/pve-root-ca.pem\n",
        "guest: pve\n\tfingerprint {other}\n",
        "guest: pve\n\tfingerprint {pin}\n\tdisable\n",
        "guest: pve\n\tdata %%%\n",
    ],
)
def test_without_a_pin_of_it_nothing_is_said(paths, pin, text, capfd):
    other = pin.replace(pin[:2], "00" if pin[:2] != "00" else "01")
    configure(paths, text.format(pin=pin, other=other))
    assert SAID not in decided(paths)
    run(["status"])
    assert SAID not in capfd.readouterr().out


def test_a_pin_of_a_certificate_that_nobody_renews_holds(paths, pin):
    configure(paths, f"guest: pve\n\tfingerprint {pin}\n")
    info = chain.describe(paths.proxy_certificate, paths.proxy_certificate.read_bytes())
    renewal_rule.keep(paths, info, Record(custom=True))
    assert SAID not in decided(paths)


def test_instances_that_cannot_be_read_stop_no_renewal(paths, pin):
    paths.plugins_cfg.mkdir(parents=True)
    assert "not due until" in decided(paths)


STORAGE = "dir: local\n\tpath /var/lib/vz\n\npbs: backup\n\tserver pbs.example\n\tfingerprint {}\n"


def store(paths, text):
    files.replace(paths.storage_cfg, text.encode())


@pytest.mark.parametrize("change", [str, str.lower])
def test_a_storage_that_pins_it_is_said_before(paths, pin, change):
    store(paths, STORAGE.format(change(pin)))
    assert f"storage backup: {SAID}" in decided(paths)
    store(paths, STORAGE.format(change(pin)) + "\tdisable\n")
    assert SAID not in decided(paths)


def test_who_still_pins_the_old_one_is_said_after(paths, pin):
    """Whatever replaces it: the files are replaced in one place."""
    configure(paths, f"guest: pve\n\ttoken a@b!c\n\tfingerprint {pin}\n")
    store(paths, STORAGE.format(pin.lower()))
    task, pair = Log(), self_signed("pve1.example")
    install.install_pair(own(paths), *pair, task, NOW)
    new = chain.describe(paths.proxy_certificate, pair[0]).fingerprint
    assert [
        warning.partition(" trusts the old pveproxy-ssl.pem ")[0] for warning in task.warnings
    ] == [
        "guest backend pve",
        "storage backup",
    ]
    assert all(f"the new one is {new}" in warning for warning in task.warnings)
    again = Log()
    install.install_pair(own(paths), *pair, again, NOW)
    assert again.warnings == []


def test_a_storage_file_that_is_none_stops_nothing(paths, pin):
    paths.storage_cfg.mkdir(parents=True)
    assert "not due until" in decided(paths)
    task = Log()
    install.install_pair(own(paths), *self_signed("pve1.example"), task, NOW)
    assert task.warnings == []

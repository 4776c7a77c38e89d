"""A certificate by way of the API, as Ansible's community.proxmox orders one, from a real ACME server."""

import os
import sys
from pathlib import Path

import proxmoxer
import pytest


@pytest.fixture
def api(host, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PVEFW_ROOT", str(host.root))
    monkeypatch.setenv("PVEFW_NODE", host.node)
    host.paths.node_dir().mkdir(parents=True)
    return proxmoxer.ProxmoxAPI(backend="local", timeout=120)


def succeeded(api, upid):
    node = api.nodes("pve1")
    status = node.tasks(upid).status.get()
    log = node.tasks(upid).log.get(limit=500)
    assert (status["status"], status["exitstatus"]) == ("stopped", "OK"), log
    return status


def test_from_an_account_to_a_certificate_and_its_end(host, api, pebble):
    acme, node = api.cluster.acme, api.nodes("pve1")
    authority = {"directory": pebble.directory, "ca-file": str(pebble.ca_file)}
    terms = acme.tos.get(**authority)
    assert acme.meta.get(**authority)["termsOfService"] == terms

    made = acme.account.post(name="default", contact="a@b.example", tos_url=terms, **authority)
    assert succeeded(api, made)["type"] == "acmeregister"
    assert acme.account.get() == [{"name": "default"}]
    account = acme.account("default").get()
    assert account["account"]["status"] == "valid"
    assert account["account"]["contact"] == ["mailto:a@b.example"]

    succeeded(api, acme.account("default").put(contact="c@d.example"))
    assert acme.account("default").get()["account"]["contact"] == ["mailto:c@d.example"]

    host.standalone(pebble.http_port)
    node.config.put(acme="account=default", acmedomain0="domain=a.example")
    succeeded(api, node.certificates.acme.certificate.post(force=0))
    [info] = node.certificates.info.get()
    assert info["san"] == ["a.example"]

    succeeded(api, node.certificates.acme.certificate.put(force=1))
    [renewed] = node.certificates.info.get()
    assert renewed["fingerprint"] != info["fingerprint"]
    succeeded(api, node.certificates.acme.certificate.delete())
    assert "pveproxy-ssl.pem" not in [row["filename"] for row in node.certificates.info.get()]
    succeeded(api, acme.account("default").delete())
    assert acme.account.get() == []


def test_terms_that_nobody_agreed_to_are_an_error_of_the_call(api, pebble):
    with pytest.raises(proxmoxer.ResourceException, match="terms of service") as refused:
        api.cluster.acme.account.post(
            contact="a@b.example", directory=pebble.directory, **{"ca-file": str(pebble.ca_file)}
        )
    assert refused.value.status_code == 400

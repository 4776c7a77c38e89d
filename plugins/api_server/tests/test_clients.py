"""The service as clients of Proxmox VE use it: proxmoxer over HTTPS, with a ticket and with tokens."""

import base64

import certificates
import proxmoxer
import pytest
from full_node import UPID
from waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
TEXT = "server=127.0.0.1\ntimeout=5\n"


def plugin(id_="mine2"):
    data = base64.b64encode(TEXT.encode()).decode()
    return {"id": id_, "type": "dns", "api": "rfc2136", "data": data, "validation-delay": 5}


def test_tasks_and_certificates_are_listed(service):
    node = service.client().nodes("pve1")
    assert UPID in [task["upid"] for task in node.tasks.get(source="archive")]
    names = {certificate["filename"] for certificate in node.certificates.info.get()}
    assert "pveproxy-ssl.pem" in names
    assert service.client().version.get()["version"].startswith("9.")


def test_a_dns_plugin_from_its_making_to_its_end(service, token):
    plugins = service.client_of_token(token("admin@pam")).cluster.acme.plugins
    with pytest.raises(proxmoxer.ResourceException, match="not defined") as absent:
        plugins("mine2").get()
    assert absent.value.status_code == 500
    assert plugins.post(**plugin()) is None
    found = plugins("mine2").get()
    assert found["data"] == TEXT
    assert plugins("mine2").put(disable=1, digest=found["digest"]) is None
    with pytest.raises(proxmoxer.ResourceException, match="digest mismatch"):
        plugins("mine2").put(disable=0, digest=found["digest"])
    assert plugins("mine2").delete() is None


def test_the_node_is_configured_as_ansible_does_it(service):
    config = service.client().nodes("pve1").config
    gone = ",".join(f"acmedomain{number}" for number in range(1, 6))
    config.put(
        acme="account=default", acmedomain0="domain=a.example,plugin=standalone", delete=gone
    )
    assert config.get()["acmedomain0"] == "domain=a.example,plugin=standalone"


def ended(node, upid):
    """How a task ended, asked for as clients do."""
    wait_until(lambda: node.tasks(upid).status.get()["status"] == "stopped", upid, 60)
    return node.tasks(upid).status.get()


def test_a_task_is_its_callers_and_tells_how_it_went(service, token):
    """No authority answers there: the call is not refused, its task fails."""
    node = service.client_of_token(token("admin@pam", "ci")).nodes("pve1")
    upid = node.certificates.acme.certificate.post(force=1)
    status = ended(node, upid)
    assert status["user"] == "admin@pam!ci"
    assert status["exitstatus"] not in ("", "OK")
    log = node.tasks(upid).log.get()
    assert log[0]["n"] == 1
    assert log[-1]["t"].startswith("TASK ERROR: ")


def test_an_uploaded_certificate_is_the_callers_task(service, token):
    node = service.client_of_token(token("admin@pam", "up")).nodes("pve1")
    pem, key = certificates.self_signed()
    answer = node.certificates.custom.post(certificates=pem.decode(), key=key.decode(), force=1)
    assert answer["filename"] == "pveproxy-ssl.pem"
    assert node.tasks.get(source="all", typefilter="certset")[0]["user"] == "admin@pam!up"


def test_a_ticket_is_renewed_by_itself(service):
    """So clients stay logged in: the ticket is the password."""
    ticket, _ = service.ticket("root@pam", age=3600)
    answer = service.call(
        "POST", "/access/ticket", data={"username": "root@pam", "password": ticket}
    )
    found = answer.json()["data"]
    assert found["username"] == "root@pam"
    assert found["ticket"] != ticket
    assert "set-cookie" not in answer.headers
    assert found["cap"]["/"]["Sys.Modify"] == 1

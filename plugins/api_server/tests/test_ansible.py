"""Playbooks of Ansible's community.proxmox 2 against our API over HTTPS, with a real ACME server.

They are what somebody has who manages nodes of Proxmox VE: nothing in them is about pvefw.
"""

import json
import sys

import certificates
import pytest
from collection.conftest import ansible
from servers.community_proxmox import community_proxmox
from whole_host import Host

__all__ = ["ansible"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
    pytest.mark.timeout(1800),  # each task of a playbook starts Python twice
]

PLAY = """\
- hosts: all
  gather_facts: false
  module_defaults:
    group/community.proxmox.proxmox:
      {api_host: 127.0.0.1, api_port: PORT, api_user: root@pam, api_password: "TICKET",
       api_timeout: 120, validate_certs: false}
  tasks:
TASKS
    - ansible.builtin.copy: {dest: "RESULT", content: "{{ found | to_json }}"}
      vars: {found: {NAMES}}
"""
LOCAL = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]


def play(service, tasks, result):
    """A playbook; each task is a name, a module and its parameters, and whether it only checks."""
    ticket, _ = service.ticket("root@pam")
    lines = [
        f"    - {{community.proxmox.{module}: {json.dumps(given)}, check_mode: {json.dumps(check)}, "
        f"register: {name}}}\n"
        for name, module, given, check in tasks
    ]
    names = ", ".join(f'{name}: "{{{{ {name} }}}}"' for name, *_ in tasks)
    words = {"PORT": str(service.port), "TICKET": ticket, "RESULT": str(result),
             "TASKS\n": "".join(lines), "NAMES": names}  # fmt: skip
    text = PLAY
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def three_times(name, module, given):
    """Only checked, done, and done once more."""
    return [
        (f"{name}_{how}", module, given, how == "checked") for how in ("checked", "done", "again")
    ]


def changes(found):
    return {name: value["changed"] for name, value in found.items()}


@pytest.fixture
def run(service_that_trusts_pebble, ansible, tmp_path):
    """Runs tasks in one playbook: what each has registered."""

    def run_(*tasks):
        result = tmp_path / "result.json"
        (tmp_path / "play.yml").write_text(play(service_that_trusts_pebble, tasks, result))
        collections = str(community_proxmox())
        ansible(
            "ansible-playbook",
            *LOCAL,
            "play.yml",
            ANSIBLE_COLLECTIONS_PATH=collections,
            ANSIBLE_PIPELINING="1",
        )
        return json.loads(result.read_text())

    return run_


def test_an_account_a_plugin_a_certificate_and_a_node(
    run, service_that_trusts_pebble, pebble, tmp_path
):
    """Each is checked, made, and found as it should be; at the end all is taken away again."""
    service, paths = service_that_trusts_pebble, service_that_trusts_pebble.paths
    Host(paths.root).standalone(pebble.http_port)
    for path in (paths.acme_dir / "default", paths.proxy_certificate, paths.proxy_key):
        path.unlink()  # what is served is in the front's memory
    paths.cluster_pvefw_cfg.unlink()  # whose observer is broken: a warning, which is no success there
    pem, key = certificates.self_signed()
    for name, data in (("chain.pem", pem), ("key.pem", key)):
        (tmp_path / name).write_bytes(data)
    terms = service.client().cluster.acme.tos.get(directory=pebble.directory)
    account = {
        "name": "default",
        "contact": "a@b.example",
        "directory": pebble.directory,
        "tos": terms,
    }
    plugin = {"name": "mine2", "plugin": "rfc2136", "data": {"server": "127.0.0.1", "timeout": "5"}}
    pair = {"cert": str(tmp_path / "chain.pem"), "key": str(tmp_path / "key.pem")}
    node = {
        "node_name": "pve1",
        "power_state": "online",
        "certificates": {**pair, "state": "present"},
    }
    domains = [{"domain": "a.example"}]
    ordered = {"node_name": "pve1", "account": "default", "domains": domains}

    found = run(
        *three_times("account", "proxmox_acme_account", account),
        *three_times("plugin", "proxmox_acme_plugin_dns", plugin),
        *three_times("node", "proxmox_node", node),
        ("order_checked", "proxmox_acme_certificate", {**ordered, "force": True}, True),
        ("order_done", "proxmox_acme_certificate", {**ordered, "force": True}, False),
        ("order_again", "proxmox_acme_certificate", ordered, False),
    )
    expected = {f"{name}_{how}": how != "again" for name in ("account", "plugin", "node", "order")
                for how in ("checked", "done", "again")}  # fmt: skip
    assert changes(found) == expected
    assert found["account_done"]["account"]["status"] == "valid"
    assert found["plugin_again"]["plugin"] == "rfc2136"
    assert found["order_done"]["subject_alternative_names"] == ["a.example"]
    assert paths.proxy_certificate.read_text().strip() != pem.decode().strip()

    removals = {
        "order": ("proxmox_acme_certificate", {"node_name": "pve1", "state": "absent"}),
        "plugin": ("proxmox_acme_plugin_dns", {"name": "mine2", "state": "absent"}),
        "account": ("proxmox_acme_account", {"name": "default", "state": "absent"}),
    }
    found = run(
        *(
            (f"{name}_{how}", *removals[name], False)
            for name in removals
            for how in ("done", "again")
        )
    )
    assert changes(found) == {
        f"{name}_{how}": how == "done" for name in removals for how in ("done", "again")
    }
    assert not paths.proxy_certificate.exists()
    assert not (paths.acme_dir / "default").exists()

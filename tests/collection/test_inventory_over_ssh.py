"""The collection over an inventory of three hosts, by ssh: each is a real sshd with a tree of its own."""

import json

import pytest
from environments import environment
from privileges import only_root
from servers.sshd import ssh_hosts

NAMES = ("n1", "n2", "n3")
PLAY = """\
- hosts: all
  gather_facts: false
  vars:
    wanted:
      observers: {tell: {api: exec, data: {program: /bin/true}}}
      properties: {renew-before: 30, wakeonlan: "{{ mac }}"}
  tasks:
    - {pvefw.node.apply: {state: "{{ wanted }}"}, check_mode: true, diff: true, register: checked}
    - {pvefw.node.apply: {state: "{{ wanted }}"}, register: first}
    - {pvefw.node.apply: {state: "{{ wanted }}"}, register: second}
    - ansible.builtin.copy:
        dest: "RESULT/{{ inventory_hostname }}.json"
        content: "{{ [checked, first, second] | to_json }}"
      delegate_to: localhost
"""
ROLE = """\
- hosts: n1
  gather_facts: false
  environment: {PIP_NO_INDEX: "1"}
  tasks:
    - {ansible.builtin.include_role: {name: pvefw.node.pvefw}}
"""
PIP = """\
#!{python}
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""
PVEFW = """\
echo "$PVEFW_NODE: $*" >>"$HOME/../calls"
case "$*" in
    "boot status --quiet")
        [ ! -e "$HOME/drift" ] || exit 1
        [ ! -e "$HOME/managed" ] || exit 0 ;;
    "boot refresh") [ -e "$HOME/broken" ] || rm "$HOME/drift"; exit 0 ;;
esac
PATH="${PATH#*:}" exec pvefw "$@"
"""
"""The real one, where ESPs can be out of date: it has none here."""
pytestmark = [
    only_root("may log in at an sshd, whatever its password is"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with ssh_hosts(tmp_path_factory.mktemp("inventory"), NAMES) as made:
        yield made


@pytest.fixture
def playbook(hosts, ansible, tmp_path):
    """Runs playbooks on the three."""
    (tmp_path / "inventory").write_text(
        "".join(f"n{at} mac=52:54:00:00:00:0{at}\n" for at in (1, 2, 3))
        + "[all:vars]\nansible_python_interpreter=/usr/bin/python3\n"
    )
    env = {
        "ANSIBLE_SSH_ARGS": f"-F {hosts.config}",  # no connection is kept: nothing is left behind
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_TIMEOUT": "600",
    }

    def run(*books, status=0, **variables):
        more = ["-e", json.dumps({"pvefw_become": False, **variables})]
        return ansible("ansible-playbook", "-i", "inventory", *more, *books, status=status, **env)

    return run


def recap(said):
    """Of each host, how many tasks of all playbooks did what."""
    rows = [line.split() for line in said.rpartition("PLAY RECAP")[2].splitlines()[1:] if line]
    return {row[0]: dict(cell.split("=") for cell in row[2:]) for row in rows}


def test_every_node_as_a_document_says(hosts, playbook, tmp_path):
    (tmp_path / "play.yml").write_text(PLAY.replace("RESULT", str(tmp_path)))
    playbook("play.yml")
    for at, name in enumerate(NAMES, start=1):
        checked, first, second = json.loads((tmp_path / f"{name}.json").read_text())
        assert [result["changed"] for result in (checked, first, second)] == [True, True, False]
        assert not any(change["done"] for change in checked["changes"])
        assert f"52:54:00:00:00:0{at}" in checked["diff"][1]["after"]
        assert len(first["changes"]) == 2 and all(change["done"] for change in first["changes"])
        config = (hosts.root(name) / f"etc/pve/nodes/{name}/config").read_text()
        assert f"wakeonlan: 52:54:00:00:00:0{at}\n" in config


def test_the_role_installs_pvefw_and_the_timer(hosts, playbook, pvefw_wheel, tmp_path):
    """Dependencies are links in the environment, and apt's step is left out: nothing is fetched."""
    place = tmp_path / "env"
    python = environment(place).python
    (place / "bin/pip3").write_text(PIP.format(python=python))
    (place / "bin/pip3").chmod(0o755)
    (tmp_path / "role.yml").write_text(ROLE)
    role = {
        "pvefw_debian_packages": [],
        "pvefw_packages": [str(pvefw_wheel)],
        "pvefw_environment": str(place),
        "pvefw_command": str(tmp_path / "pvefw"),
        "pvefw_renewal": "renew-timer",
    }
    found = recap(playbook("role.yml", **role))
    assert found["n1"]["changed"] == "3", "pip, the link, the timer"
    assert (tmp_path / "pvefw").readlink() == place / "bin/pvefw"
    [service] = hosts.root("n1").rglob("pvefw-renew.service")
    assert "renew\n" in service.read_text()
    found = recap(playbook("role.yml", **role))
    assert found["n1"]["changed"] == "0"


def test_an_inventory_is_renewed_refreshed_and_drained_host_by_host(hosts, playbook):
    for name in NAMES:
        hosts.program(name, "pvefw", PVEFW)
    for name in ("drift", "managed"):
        (hosts.home("n2") / name).touch()
    books = [f"pvefw.node.{name}" for name in ("renew", "boot_refresh", "drain")]
    found = recap(playbook(*books, pvefw_drain_to=["n9"]))
    assert {name: value["changed"] for name, value in found.items()} == {
        "n1": "0",
        "n2": "1",
        "n3": "0",
    }
    look, refresh = "boot status --quiet", "boot refresh"
    assert calls(hosts) == [
        *(f"{name}: renew" for name in NAMES),
        *(f"n1: {look}", f"n2: {look}", f"n2: {refresh}", f"n2: {look}", f"n3: {look}"),
        *(f"{name}: node drain --to n9" for name in NAMES),
    ]
    # the first host that is not in order ends it
    for name in ("drift", "broken"):
        (hosts.home("n2") / name).touch()
    found = recap(playbook("pvefw.node.boot_refresh", status=2))
    assert found["n2"]["failed"] == "1" and "n3" not in found
    assert calls(hosts)[-4:] == [f"n1: {look}", f"n2: {look}", f"n2: {refresh}", f"n2: {look}"]


def calls(hosts):
    """What pvefw was asked for, on which host."""
    return (hosts.workdir / "calls").read_text().splitlines()

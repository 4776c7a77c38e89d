"""The Ansible collection, by the real ansible-core over a local connection."""

import json
import sys
import tarfile
from pathlib import Path

import pytest
from environments import ROOT

BIN = Path(sys.executable).parent
PLAY = """\
- hosts: all
  gather_facts: false
  vars:
    wanted:
      observers: {tell: {api: exec, data: {program: /bin/true}}}
      properties: {renew-before: 30, key-reuse: true, wakeonlan: "52:54:00:12:34:56"}
  module_defaults:
    pvefw.node.apply: {root: "ROOT", node: pve1, executable: "PVEFW"}
  tasks:
    - {pvefw.node.apply: {state: "{{ wanted }}"}, check_mode: true, diff: true, register: checked}
    - {pvefw.node.apply: {state: "{{ wanted }}"}, register: first}
    - {pvefw.node.apply: {state: "{{ wanted }}"}, register: second}
    - {pvefw.node.apply: {state: {observers: {}}, prune: true}, register: pruned}
    - pvefw.node.apply: {state: {properties: {renew-before: 1000}}}
      register: wrong
      ignore_errors: true
    - name: Units
      ansible.builtin.include_role: {name: pvefw.node.pvefw}
      vars:
        {pvefw_install: false, pvefw_root: "ROOT", pvefw_command: "PVEFW", pvefw_renewal: renew-cron}
    - ansible.builtin.copy:
        dest: RESULT
        content: "{{ [checked, first, second, pruned, wrong] | to_json }}"
"""


LOCAL = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]


def test_a_node_as_a_document_says(ansible, tmp_path, node_root):
    result = tmp_path / "result.json"
    play = PLAY.replace("ROOT", str(node_root)).replace("RESULT", str(result))
    (tmp_path / "play.yml").write_text(play.replace("PVEFW", str(BIN / "pvefw")))
    ansible("ansible-playbook", *LOCAL, "play.yml", PVEFW_NODE="pve1")
    checked, first, second, pruned, wrong = json.loads(result.read_text())
    assert [run_["changed"] for run_ in (checked, first, second, pruned)] == [
        True,
        True,
        False,
        True,
    ]
    assert not any(change["done"] for change in checked["changes"])
    assert checked["diff"][0]["before"] == ""
    assert '"program": "/bin/true"' in checked["diff"][0]["after"]
    assert all(change["done"] for change in first["changes"])
    assert [(change["action"], change["name"]) for change in pruned["changes"]] == [
        ("remove", "tell")
    ]
    assert wrong["failed"] and "properties.renew-before: '1000' is not" in wrong["msg"]
    config = node_root / "etc/pve/nodes/pve1"
    assert "wakeonlan: 52:54:00:12:34:56" in (config / "config").read_text()
    assert "key-reuse: 1" in (config / "pvefw.cfg").read_text()
    assert "pvefw renew" in (node_root / "etc/cron.d/pvefw").read_text()


def test_the_playbooks_on_a_node_with_nothing_to_do(ansible, node_root):
    more = {"PVEFW_ROOT": str(node_root), "PVEFW_NODE": "pve1"}
    books = [f"pvefw.node.{name}" for name in ("renew", "boot_refresh")]
    options = ["-e", json.dumps({"pvefw_become": False, "pvefw_command": str(BIN / "pvefw")})]
    said = ansible("ansible-playbook", *LOCAL, *options, *books, **more)
    assert "failed=0" in said and "changed=0" in said
    ansible("ansible-playbook", "--syntax-check", *LOCAL, "pvefw.node.drain")


def test_it_is_built_and_documented(ansible, tmp_path):
    ansible("ansible-galaxy", "collection", "build", ROOT / "ansible", "--output-path", tmp_path)
    [built] = tmp_path.glob("pvefw-node-*.tar.gz")
    with tarfile.open(built) as archive:
        names = archive.getnames()
    assert {"plugins/modules/apply.py", "playbooks/renew.yml", "MANIFEST.json"} <= {*names}
    assert "Compares a document with the node" in ansible("ansible-doc", "pvefw.node.apply")


CHANGE = r'{"part": "\ud800", "name": "\u001b]52;", "before": null, "after": 1, "done": true}'


@pytest.mark.parametrize(
    ("printed", "status", "said"),
    [
        ("[]", 2, "printed no report and ended with status 0"),
        ("", 2, "not UTF-8: ?"),
        ('{"changed": true, "changes": [5]}', 2, "not UTF-8"),
        ("[" * 20000, 2, "not UTF-8"),
        (f'{{"changed": true, "changes": [{CHANGE}]}}', 0, "CHANGED"),
    ],
    ids=["list", "nothing", "number", "depth", "text"],
)
def test_what_a_program_reports_is_foreign(ansible, tmp_path, printed, status, said):
    program = tmp_path / "program"
    (tmp_path / "printed").write_text(printed)
    words = "" if printed == "[]" else r"printf 'not UTF-8: \377\n' >&2"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path}/printed'\n{words}\n")
    program.chmod(0o755)
    arguments = ["-m", "pvefw.node.apply", "-a", f"src=/dev/null executable={program}"]
    shown = ansible("ansible", *LOCAL, "--diff", "localhost", *arguments, status=status)
    assert said in shown
    assert "Traceback" not in shown and "\x1b]" not in shown

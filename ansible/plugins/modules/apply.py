#!/usr/bin/python
"""The module ``pvefw.node.apply``: runs ``pvefw apply`` and reports what it did."""

DOCUMENTATION = r"""
module: apply
short_description: Make a node match a document
description:
  - Compares a document with the node, and changes what differs. What it does not name stays as it is.
  - Secrets are references in it, such as C(file:/etc/pve/priv/NAME); you provide the files yourself.
author: The pvefw authors
options:
  state:
    description: The document. Either this or O(src).
    type: dict
  src:
    description: The document, a file on the managed host.
    type: path
  prune:
    description: Remove what the document does not name, in the parts that it has.
    type: bool
    default: false
  node:
    description: Act as this node of the cluster, whose files are changed.
    type: str
  root:
    description: Work on the tree below this directory.
    type: path
  executable:
    description: The program.
    type: str
    default: pvefw
attributes:
  check_mode:
    support: full
    description: Nothing is changed.
  diff_mode:
    support: full
    description: Each change is shown.
"""
EXAMPLES = r"""
- name: Renewal, and a target for its certificate
  pvefw.node.apply:
    state:
      observers:
        proxy: {api: files, data: {fullchain: /etc/nginx/tls.pem, key: /etc/nginx/tls.key}}
      certificates:
        web: {acmedomain0: www.example.com, targets: proxy}
"""
RETURN = r"""
changes:
  description: Every change, as C(pvefw apply --output-format json) prints it.
  returned: success and failure
  type: list
  elements: dict
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def command(module: AnsibleModule) -> list[str]:
    """The command line; the document comes on standard input, so that no list of processes shows it."""
    options = module.params
    words = [module.get_bin_path(options["executable"], required=True)]
    for key in ("root", "node"):
        if options[key]:
            words += [f"--{key}", options[key]]
    words += ["apply", options["src"] or "-", "--output-format", "json"]
    words += ["--check"] if module.check_mode else []
    return [*words, *(["--prune"] if options["prune"] else [])]


def printable(text: str) -> str:
    """Lines without what a terminal obeys, which Ansible prints, and what it refuses: no Unicode."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def outcome(out: str) -> dict[str, Any]:
    """What the program reported: ``changed``, ``changes``, and ``diff``, each change for Ansible to show.

    :raises ValueError: that is no report of ``pvefw apply``.
    """
    try:
        unicode = json.dumps(json.loads(out), ensure_ascii=False).encode(errors="replace")
        report = json.loads(unicode)
        changes = [dict(change) for change in report["changes"]]
        shown = [difference(change) for change in changes]
        return {"changed": bool(report["changed"]), "changes": changes, "diff": shown}
    except (TypeError, LookupError, RecursionError) as error:
        raise ValueError("it is no report of pvefw apply") from error


def difference(change: dict[str, Any]) -> dict[str, str]:
    """One change as Ansible shows differences."""
    subject = " ".join(printable(f"{change['part']} {change['name']}").split())
    before, after = (
        "" if change[side] is None else json.dumps(change[side], indent=2, sort_keys=True) + "\n"
        for side in ("before", "after")
    )
    return {
        "before": before,
        "after": after,
        "before_header": f"{subject} (is)",
        "after_header": f"{subject} (wanted)",
    }


def main() -> None:
    """Run the program once."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "dict"},
            "src": {"type": "path"},
            "prune": {"type": "bool", "default": False},
            "node": {"type": "str"},
            "root": {"type": "path"},
            "executable": {"type": "str", "default": "pvefw"},
        },
        mutually_exclusive=[("state", "src")],
        required_one_of=[("state", "src")],
        supports_check_mode=True,
    )
    state = module.params["state"]
    data = None if state is None else json.dumps(state)
    status, out, err = module.run_command(command(module), data=data)
    err = printable(err).strip()
    try:
        result = outcome(out)
    except ValueError:
        problem = err or f"pvefw apply printed no report and ended with status {status}"
        module.fail_json(msg=problem, changes=[])
    if not module._diff:  # noqa: SLF001 - the name that Ansible's documentation gives
        del result["diff"]
    if status and not module.check_mode:
        module.fail_json(msg=err, **result)
    module.exit_json(warnings=[line for line in err.splitlines() if line.strip()], **result)


if __name__ == "__main__":
    main()

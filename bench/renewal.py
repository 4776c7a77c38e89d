"""How long it takes to decide whether certificates are due.

A thousand nodes with one certificate each: configuration, kept state and certificate are read and the
decision is made, as `pvefw renew --dry-run` does it, in one process; against reading and parsing the
certificates alone, and against `openssl x509 -checkend`, a process for each, as scripts do it.

Aim: a thousand in under two seconds.
"""

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import keep, side_by_side, table

import certificates  # isort: skip - measure makes the tests importable

from pvefw.certs import chain, install, renewal_plan, renewal_rule
from pvefw.certs.renewal_rule import Record, Window
from pvefw.store import node_settings
from pvefw.store.node import Node
from pvefw.store.paths import Paths

NODES = 1000
CHECKED = 100
"""By openssl; its time is scaled up."""
NOW = datetime.now(UTC)


def prepare(base):
    """Nodes whose certificates are at all ages of their 90 days."""
    key = certificates.keys.generate("ec256")
    nodes = []
    for number in range(NODES):
        paths = Paths(base / f"{number}", "pve1")
        age = 89 * number / NODES
        pem, key_pem = certificates.self_signed("pve1.example", begin=-age, days=90, key=key)
        install.install_pair(certificates.own(paths), pem, key_pem, certificates.Log(), NOW)
        node_settings.change(paths, {"acmedomain0": "pve1.example", "renew-before": "20"})
        info = chain.describe(paths.proxy_certificate, pem)
        window = Window(info.not_before + timedelta(days=60), info.not_before + timedelta(days=62))
        record = Record(account="default", window=window, ask_again=NOW + timedelta(days=1))
        renewal_rule.keep(paths, info, record)
        nodes.append(paths)
    return nodes


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def decide(nodes):
    due = 0
    for paths in nodes:
        [planned] = renewal_plan.plan(Node.open(paths), NOW, keep=False)
        due += planned.due(NOW)
    if not 0.2 * NODES < due < 0.5 * NODES:
        sys.exit(f"{due} of {NODES} are due: something is wrong")


def parse(nodes):
    for paths in nodes:
        chain.parse(paths.proxy_certificate.read_bytes(), "")


def checkend(nodes):
    for paths in nodes[:CHECKED]:
        command = ["openssl", "x509", "-noout", "-checkend", "2592000", "-in"]
        subprocess.run([*command, paths.proxy_certificate], check=False, capture_output=True)


def main():
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        nodes = prepare(Path(folder))
        measures = {
            "decide": lambda: timed(lambda: decide(nodes)),
            "parse only": lambda: timed(lambda: parse(nodes)),
            "openssl -checkend": lambda: timed(lambda: checkend(nodes)) * NODES / CHECKED,
        }
        taken = side_by_side(measures, 5)
    print(f"Seconds for {NODES} certificates, and how many times parsing alone")
    table(
        [
            [name, f"{value:.2f}", f"{value / taken['parse only']:.1f}"]
            for name, value in taken.items()
        ],
        ["work", "s", "times"],
    )
    ratios = {name: value / taken["parse only"] for name, value in taken.items()}
    keep("renewal", {"seconds": taken, "times_parsing": ratios})


if __name__ == "__main__":
    main()

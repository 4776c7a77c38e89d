"""The renewal's unit: what systemd says of its exposure, and that a renewal still has what it needs."""

import re
import shutil
import subprocess
import sys

import pytest
from privileges import only_root

from pvefw.api import Sandbox
from pvefw.certs import timer
from pvefw.cli.run import run
from pvefw.store import files

MOST = {"pvefw-renew.service": 3.0, "pvefw-renew-scripts.service": 3.4}
"""Of 10. What is left: a network, and root that changes users; and mounts for scripts."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", MOST)
def test_its_exposure_is_bounded(tmp_path, name):
    unit = tmp_path / name
    unit.write_text(timer.texts("/usr/bin/true")[unit.name])
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= MOST[name], done.stdout


def test_what_a_renewal_writes_to_is_writable(paths):
    text = timer.texts("x")["pvefw-renew.service"]
    [writable] = re.findall("^ReadWritePaths=(.*)$", text, re.MULTILINE)
    roots = [word.removeprefix("-/") for word in writable.split()]
    ours = (paths.acme_dir, paths.task_dir, paths.local_locks, paths.certificate_dir)
    targets = [paths.below(name) for name in ("etc/nginx/site.pem", "etc/haproxy/a/b", "etc/ssl/x")]
    for path in (*ours, paths.pve_certificate_lock, *targets):
        relative = path.relative_to(paths.root)
        assert any(relative.is_relative_to(root) for root in roots), relative


@only_root("has capabilities to give up")
@pytest.mark.skipif(bool(Sandbox.obstacle()), reason="needs bubblewrap, and namespaces")
def test_scripts_can_still_be_kept_apart_with_its_capabilities():
    text = timer.texts("x")["pvefw-renew-scripts.service"]
    given = " ".join(re.findall("^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)).split()
    kept = ",".join(
        ["-all", *(f"+{capability.removeprefix('CAP_').lower()}" for capability in given)]
    )
    code = (
        "from pvefw.api import *\n"
        "print(run(['id', '-u'], sandbox=Sandbox()).stdout, Sandbox.obstacle())"
    )
    done = subprocess.run(
        ["setpriv", "--no-new-privs", "--bounding-set", kept, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) > 60_000  # and no obstacle


@pytest.mark.parametrize(
    ("config", "renews"),
    [
        (b"dns: web\n\tapi ovh\n", True),
        (b"dns: web\n\tapi acmesh/dns_x\n", False),
        (b"dns: web\n\tapi acmesh/dns_x\n\tdisable 1\n", True),
        (b"dns: web\n\tapi hetzner\n", False),
        (b"", True),
    ],
)
def test_the_timers_unit_hands_over_where_scripts_may_be_needed(
    paths, monkeypatch, capsys, config, renews
):
    started = []
    monkeypatch.setattr(timer.programs, "run", lambda argv, **_more: started.append(argv))
    monkeypatch.setenv("PVEFW_NO_SCRIPTS", "1")
    files.replace(paths.plugins_cfg, config, private=True)
    assert run(["renew", "--root", str(paths.root), "--node", paths.node]) == 0
    assert ("pvefw-renew-scripts.service" in capsys.readouterr().out) is not renews
    assert (started == []) is renews
    monkeypatch.delenv("PVEFW_NO_SCRIPTS")
    assert timer.hand_over(paths) is False


def test_only_the_timers_unit_hands_over():
    texts = timer.texts("x")
    assert [name for name, text in texts.items() if "PVEFW_NO_SCRIPTS=1" in text] == [
        "pvefw-renew.service"
    ]

"""The kits of earlier releases run on this core, and plugins that were good then are good now."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from environments import ROOT
from plugin_api import broken_promises, described

HERE = Path(__file__).parent
RELEASES = sorted(path.parent for path in HERE.glob("*/api.json"))
KITS = [release for release in RELEASES if (release / "testing").is_dir()]
"""Those of 1.0, which nobody had, reached into modules of core, and are not held."""
AGAIN = "Until that version is released, `make freeze` keeps the new state instead."
PLUGINS = [
    "tests/testing",
    *("plugins/acme_standalone", "plugins/acme_dns_ovh", "plugins/guest_pve"),
]


@pytest.mark.parametrize("release", RELEASES, ids=lambda folder: folder.name)
def test_what_was_promised_is_kept(release):
    findings = broken_promises(json.loads((release / "api.json").read_text()), described())
    assert findings == [], f"plugins made for {release.name} break. {AGAIN}"


@pytest.mark.parametrize("release", KITS, ids=lambda folder: folder.name)
def test_the_kits_of_a_release_pass_on_this_core(release):
    alone = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "frozen_kits"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *alone, *PLUGINS],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
            "PYTHONPATH": str(HERE),
            "PVEFW_FROZEN_KITS": str(release / "testing"),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"{AGAIN}\n{done.stdout[-5000:]}{done.stderr[-2000:]}"
    assert f"kits of {release}/testing/fakes.py" in done.stdout
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert passed > 100


def test_a_release_is_kept():
    assert [release.name for release in RELEASES] == ["1.0", "1.1"]
    assert [kit.name for kit in KITS] == ["1.1"]


# --- the comparison itself ------------------------------------------------------------------------


def changed(change):
    """The API of today, after a change to it."""
    after = json.loads(json.dumps(described()))
    change(after)
    return broken_promises(json.loads(json.dumps(described())), after)


def dns(after):
    return after["families"]["pvefw.dns"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it["names"].remove("run"), "pvefw.api has no run any more"),
        (lambda it: it["families"].pop("pvefw.guest"), "there is no family pvefw.guest"),
        (lambda it: dns(it).pop("dns_zones"), "pvefw.dns has no hook dns_zones any more"),
        (lambda it: dns(it)["dns_add"]["arguments"].remove("zone"), "dns_add is not given zone"),
        (lambda it: dns(it)["dns_zones"].update(required=True), "dns_zones is required now"),
        (
            lambda it: dns(it).update(dns_sign={"required": True, "arguments": []}),
            "a new hook dns_sign that is required",
        ),
        (lambda it: it["fields"]["TxtRecord"].pop(), "TxtRecord has lost fields"),
        (lambda it: it["fields"]["TxtRecord"].reverse(), "or they stand in another order"),
        (
            lambda it: it["fields"]["TxtRecord"].append(["x", False]),
            "a new field x without a default",
        ),
        (lambda it: it["members"]["GuestState"].remove("paused"), "GuestState has no paused"),
        (lambda it: it["errors"]["RateLimited"].remove("ProviderError"), "is no ProviderError"),
        (lambda it: it["setting"].remove("choices"), "setting() does not take choices"),
        (lambda it: it["run"].pop(), "run() does not take"),
    ],
)
def test_a_broken_promise_is_seen(change, said):
    assert any(said in finding for finding in changed(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["names"].append("Later"),
        lambda it: dns(it)["dns_add"]["arguments"].append("deadline"),
        lambda it: dns(it).update(dns_sign={"required": False, "arguments": []}),
        lambda it: it["fields"]["TxtRecord"].append(["comment", True]),
        lambda it: it["members"]["GuestState"].append("crashed"),
        lambda it: dns(it)["dns_add"].update(required=False),
    ],
)
def test_an_addition_is_none(change):
    assert changed(change) == []

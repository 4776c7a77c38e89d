"""``plugin new``, for each kind: from an empty folder to a plugin at work, no file of core touched."""

import importlib.util
import json
import re

import pytest
from environments import wheel
from fillings import FILLINGS, fill_in, unwritten
from servers.pebble import pebble as run_pebble

from pvefw.core import families
from pvefw.scaffold import CHALLENGE_TYPES, FAMILIES, Project
from pvefw.testing.dns_zone import dns_zone
from pvefw.testing.http_api import http_api
from pvefw.testing.node import Node

NAMES = {
    "dns": "pvefw-acme-dns-acme-corp",
    "challenge": "pvefw-acme-acme-corp",
    "observer": "pvefw-observer-acme-corp",
    "guest": "pvefw-guest-acme-corp",
    "bootloader": "pvefw-bootloader-acme-corp",
    "store": "pvefw-store-acme-corp",
}


def generate(clean, tmp_path, kind, name="Acme-Corp"):
    family, *type_ = kind.split()
    options = [f"--type={challenge_type}" for challenge_type in type_]
    done = clean.run("pvefw", "plugin", "new", family, name, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / NAMES[family]


@pytest.mark.parametrize("kind", FILLINGS)
def test_every_kind_from_nothing_to_use(clean, tmp_path, kind):
    family = kind.partition(" ")[0]
    project = generate(clean, tmp_path, kind)
    clean.install(wheel(project, tmp_path / "empty"))
    fails_only_where_the_work_begins(clean.pytest(project))
    written_as_the_tests_say(clean, project, tmp_path, kind)

    clean.install(wheel(project, tmp_path / "filled"))
    assert clean.distributions() == {"pvefw", NAMES[family]}
    done = clean.pytest(project)
    assert done.returncode == 0, done.stdout
    said = clean.run("pvefw", "plugin", "doctor", "--output-format", "json")
    [diagnosis] = json.loads(said.stdout)
    assert (diagnosis["name"], diagnosis["usable"], diagnosis["findings"]) == (
        "acme-corp",
        True,
        [],
    )
    if family == "dns":
        orders_a_certificate_from_pebble(clean, project, tmp_path)


def fails_only_where_the_work_begins(done):
    """Every failure says what to write and where; everything that is written already passes."""
    summary = done.stdout.partition("short test summary info")[2]
    assert done.returncode == 1, done.stdout
    assert re.search(r"^PASSED .*test_settings_have_help", summary, re.MULTILINE), summary
    sections = re.split(r"^_+ (?:ERROR at .* )?test_.* _+$", done.stdout, flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        assert re.search(r"Write [\w.]+ in (?:src|tests)/", section), section


def written_as_the_tests_say(clean, project, tmp_path, kind):
    """Write what the first failure asks for, until there is none: nothing but the tests was read."""
    place = tmp_path / "environment"
    [site] = place.glob("lib/python3*/site-packages")
    others = sorted(path.relative_to(project) for path in project.glob("tests/test_*.py"))
    for _ in FILLINGS[kind]:
        done = clean.pytest(project, "-x", "tests/test_conformance.py", *others)
        said = re.findall(r"Write ([\w.]+) in", done.stdout)
        asked = [fault for fault in said if fault in unwritten(project)]
        assert asked, done.stdout
        fill_in(project, kind, asked[0])
        for source in project.glob("src/*/__init__.py"):  # as an editable installation would do it
            (site / source.parent.name / source.name).write_text(source.read_text())
    assert unwritten(project) == {}


def orders_a_certificate_from_pebble(clean, project, tmp_path):
    spec = importlib.util.spec_from_file_location("provider", project / "tests/provider.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "node").mkdir()
    node = Node(tmp_path / "node", python=str(clean.python))
    with (
        dns_zone("example.test.") as zone,
        http_api(module.Provider(zone).answer) as url,
        run_pebble(tmp_path / "pebble", dns_server=zone.server) as authority,
    ):
        node.register(authority)
        node.resolve(zone)
        node.add("dns", "mine", api="acme-corp", token="correct-token", url=url)
        node.run("config", "set", "--acmedomain0", "*.example.test,plugin=mine")
        node.run("config", "set", "--acmedomain1", "example.test,plugin=mine")
        said = node.run("acme", "cert", "order")
        [info] = json.loads(node.run("cert", "info", "--output-format", "json"))
    assert sorted(info["san"]) == ["*.example.test", "example.test"]
    assert "Pebble" in info["issuer"]
    assert "correct-token" not in said
    assert zone.records == []


def test_there_is_a_filling_for_every_kind():
    kinds = [(family, None) for family in FAMILIES] + [
        ("challenge", type_) for type_ in CHALLENGE_TYPES
    ]
    filled = [tuple([*kind.split(), None][:2]) for kind in FILLINGS]
    assert {folder(*kind) for kind in filled} == {folder(*kind) for kind in kinds}
    assert set(NAMES) == set(FAMILIES)


def folder(family, type_):
    return Project.named(families.FAMILIES[family], "acmecorp", type_).folder

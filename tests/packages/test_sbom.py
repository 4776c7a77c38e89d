"""The bill of materials beside the Debian package names what is in it."""

import runpy
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from environments import ROOT


@pytest.fixture
def document():
    return runpy.run_path(str(ROOT / "tools/sbom.py"))["document"]


def test_every_distribution_is_named_with_its_version(document):
    library = next(Path(folder) for folder in sys.path if folder.endswith("site-packages"))
    found = document(library, "pvefw", "1.0")
    named = {(component["name"], component["version"]) for component in found["components"]}
    assert named == {
        (distribution.name, distribution.version)
        for distribution in distributions(path=[str(library)])
    }
    assert any(
        component["purl"].startswith("pkg:pypi/requests@") for component in found["components"]
    )
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert found == document(library, "pvefw", "1.0")


def test_names_are_those_of_indexes(document, tmp_path):
    info = tmp_path / "Odd_Name-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Odd_Name\nVersion: 1\nLicense-Expression: MIT\n"
    )
    [component] = document(tmp_path, "pvefw", "1.0")["components"]
    assert component["purl"] == "pkg:pypi/odd-name@1"
    assert component["licenses"] == [{"expression": "MIT"}]

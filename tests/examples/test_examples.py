"""Each example is a package that works where nothing but pvefw's wheel and its own are installed."""

import ast
import json
import tomllib

import pytest
from environments import ROOT, environment, wheel

EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_its_own_tests_pass_and_doctor_finds_nothing(example, pvefw_wheel, tmp_path):
    name = tomllib.loads((example / "pyproject.toml").read_text())["project"]["name"]
    clean = environment(tmp_path / "environment", pvefw_wheel, wheel(example, tmp_path / "wheel"))
    assert clean.distributions() == {"pvefw", name}
    done = clean.pytest(example)
    assert done.returncode == 0, done.stdout + done.stderr
    [diagnosis] = json.loads(
        clean.run("pvefw", "plugin", "doctor", "--output-format", "json").stdout
    )
    assert diagnosis["distribution"] == name
    assert diagnosis["findings"] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_it_imports_only_what_a_plugin_may(example):
    """``pvefw.api``, and ``pvefw.testing`` in tests."""
    for path in example.glob("**/*.py"):
        allowed = ("pvefw.api", "pvefw.testing") if "tests" in path.parts else ("pvefw.api",)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pvefw":
                assert node.module.startswith(allowed), f"{path} imports {node.module}"


def test_there_are_examples_and_a_page_that_names_each():
    page = (ROOT / "examples/README.md").read_text()
    assert EXAMPLES
    assert [example.name for example in EXAMPLES if f"({example.name}/README.md)" not in page] == []

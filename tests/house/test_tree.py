"""What holds for every tracked file: nothing in it belongs to one machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOMEBODYS = re.compile(
    r"""
    (?<![\w.}>-]) / (?: home | Users | work | workspace | opt ) / \w   # an absolute path of one machine
    | --?(?:extra-)?index-url | find-links | trusted-host                # an index of packages
    | https?://[^\s/'"]+/(?:[\w.-]+/)*simple\b
    | @\ file:
    """,
    re.VERBOSE,
)


CORPUS = "tests/hostile/corpus/"
"""What parsers are fed with: any bytes."""


def tracked():
    """Every file that git knows and that is text."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data and not name.startswith(CORPUS):
                yield name, data.decode("utf-8")


@pytest.fixture(scope="module")
def texts():
    found = dict(tracked())
    assert "pyproject.toml" in found
    return found


def test_no_file_names_a_place_of_one_machine(texts):
    here = Path(__file__).relative_to(ROOT).as_posix()
    checkout = re.compile(rf"{re.escape(str(ROOT))}(?![\w.-])")
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts.items()
        if name != here
        for number, line in enumerate(text.splitlines(), start=1)
        if SOMEBODYS.search(line) or checkout.search(line)
    ]
    assert found == []


def test_constraints_pin_releases_and_nothing_else(texts):
    lines = [line for line in texts["constraints.txt"].splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+", line)] == []


def test_every_distribution_of_the_tree_has_what_a_release_needs(texts):
    folders = [
        name.rpartition("/")[0]
        for name in texts
        if re.fullmatch(r"(?:plugins/\w+|shims)/pyproject\.toml", name)
    ]
    missing = [
        f"{folder}/{needed}"
        for folder in folders
        for needed in ("README.md", f"src/pvefw_{folder.rpartition('/')[2]}/py.typed")
        if not (ROOT / folder / needed).exists()
    ]
    missing += [
        f"{folder}: its sdist has no LICENSE"
        for folder in folders
        if '/LICENSE" = "LICENSE"' not in texts[f"{folder}/pyproject.toml"]
    ]
    assert missing == []


def test_every_news_fragment_is_one_that_towncrier_takes(texts):
    types = {
        type_["directory"]
        for type_ in tomllib.loads(texts["pyproject.toml"])["tool"]["towncrier"]["type"]
    }
    fragments = [name.partition("/")[2] for name in texts if name.startswith("news/")]
    wanted = re.compile(rf"(?:\d+|\+[\w-]+)\.(?:{'|'.join(types)})\.md")
    assert [name for name in fragments if name != "README.md" and not wanted.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cd /home/me/pvefw", True),
        ("pip install --extra-index-url https://pypi.example/simple pvefw", True),
        ("thing @ file:///tmp/thing.whl", True),
        ("/etc/pve/nodes/pve1/config and /usr/bin/python3", False),
        ("https://example.com/work/in/progress", False),
    ],
)
def test_the_pattern_finds_what_it_is_for(line, wrong):
    assert bool(SOMEBODYS.search(line)) is wrong


SUPPRESSED = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)\b(?P<rest>.*)")
WITH_REASON = re.compile(
    r":\s*(?:[A-Z0-9, ]+|no cover) - \w.*|\[[\w, -]+\]  # \w.*|.*  # noqa: [A-Z0-9]+ - \w.*"
)


def is_unexplained(line):
    """Whether a line silences a check without a word on why."""
    found = SUPPRESSED.search(line)
    return found is not None and not WITH_REASON.fullmatch(found["rest"].rstrip())


def test_whoever_silences_a_check_says_why(texts):
    here = Path(__file__).relative_to(ROOT).as_posix()
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        if name.endswith((".py", ".py.in")) and name != here
        if not re.match(r"tests/compatibility/\d", name)  # as they were
        for number, line in enumerate(text.splitlines(), start=1)
        if is_unexplained(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("x = 1  # noqa", True),
        ("x = 1  # noqa: E501", True),
        ("x = f()  # type: ignore", True),
        ("x = f()  # type: ignore[misc]", True),
        ("x = 1  # noqa: E501, S101 - it is a table", False),
        ("x = f()  # type: ignore[misc, arg-type]  # bound early", False),
        ("x = 1  # a number", False),
    ],
)
def test_the_rule_finds_what_it_is_for(line, wrong):
    assert is_unexplained(line) is wrong

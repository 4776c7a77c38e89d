"""``plugin new``: names, places, and what stands in the way."""

import errno
import os
import subprocess
import sys
import tomllib

import pytest

from pvefw import scaffold
from pvefw.cli.plugin import NEW_FAMILIES, NEW_TYPES
from pvefw.core import families
from pvefw.core.errors import StoreError, UsageError
from pvefw.core.families import CHALLENGE, DNS, GUEST
from pvefw.scaffold import CHALLENGE_TYPES, FAMILIES, Project


def new(cwd, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pvefw", "plugin", "new", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("typed", "distribution", "module", "class_name"),
    [
        ("acmecorp", "pvefw-acme-dns-acmecorp", "pvefw_acme_dns_acmecorp", "Acmecorp"),
        ("Acme-Corp", "pvefw-acme-dns-acme-corp", "pvefw_acme_dns_acme_corp", "AcmeCorp"),
        ("Acme_.Corp2", "pvefw-acme-dns-acme-corp2", "pvefw_acme_dns_acme_corp2", "AcmeCorp2"),
        ("none", "pvefw-acme-dns-none", "pvefw_acme_dns_none", "NonePlugin"),
        ("task", "pvefw-acme-dns-task", "pvefw_acme_dns_task", "TaskPlugin"),
        ("path", "pvefw-acme-dns-path", "pvefw_acme_dns_path", "PathPlugin"),
    ],
)
def test_all_names_come_from_one(typed, distribution, module, class_name):
    project = Project.named(DNS, typed)
    assert project.distribution == distribution
    assert project.module == module
    assert project.class_name == class_name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "-",
            "1and1",
            "acme corp",
            "acme-",
            "-acme",
            "acme/corp",
            "../acme",
            "/etc",
            ".",
        ),
        *(
            "acme\n",
            "acme\0corp",
            'acme"',
            "acme'); import os; ('",
            "acmé",
            "\u212a",
            "$name",
            "a" * 41,
        ),
        *("a${x}", "acme]\n[project.scripts]", "--help-me"),
    ],
)
def test_hostile_names_are_refused(name):
    with pytest.raises(UsageError, match="cannot be a plugin's name") as caught:
        Project.named(DNS, name)
    assert "Use a letter" in caught.value.hint


def test_a_name_that_is_taken():
    with pytest.raises(UsageError, match=r"dns/rfc2136 \(pvefw-acme-dns-generic .*has that name"):
        Project.named(DNS, "RFC2136")
    assert Project.named(GUEST, "rfc2136").name == "rfc2136"


KINDS = [
    *((family, None) for family in FAMILIES),
    *(("challenge", type_) for type_ in CHALLENGE_TYPES),
]


@pytest.mark.parametrize(("family", "type_"), KINDS)
def test_what_is_written_is_in_order(tmp_path, family, type_):
    """Python compiles, TOML and metadata fit, no placeholder is left, every file is the author's."""
    project = Project.named(families.FAMILIES[family], "Ex-Ample2", type_)
    written = scaffold.write(project, tmp_path / "p")
    assert {str(path) for path in written} >= {
        *("README.md", "pyproject.toml", ".github/workflows/test.yml", ".gitlab-ci.yml"),
        *(f"src/{project.module}/__init__.py", "tests/test_conformance.py"),
    }
    for path in written:
        text = (tmp_path / "p" / path).read_text()
        assert text.endswith("\n")
        assert "$" not in text.replace("${{ matrix.python }}", "")
        if path.suffix == ".py":
            compile(text, str(path), "exec")
    said = tomllib.loads((tmp_path / "p/pyproject.toml").read_text())["project"]
    assert said["dependencies"][0] == "pvefw>=1,<2"
    assert said["entry-points"][f"pvefw.{family}"] == {"ex-ample2": f"{project.module}:ExAmple2"}
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_generated_code_is_in_style(tmp_path):
    for family, type_ in KINDS:
        project = Project.named(families.FAMILIES[family], "acmecorp", type_)
        scaffold.write(project, tmp_path / f"{family}-{type_}")
    # imports for what is still to be written are there already; conftest is no module of ours there
    sorts = ["--ignore", "F401", "--config", 'lint.isort.known-third-party = ["conftest"]']
    for check in (["check", "--select", "E,F,I,W,B", *sorts], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--isolated", "--line-length", "100", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_command_says_where_it_wrote(tmp_path):
    done = new(tmp_path, "dns", "acmecorp")
    place = tmp_path / "pvefw-acme-dns-acmecorp"
    assert done.returncode == 0
    assert f"of pvefw-acme-dns-acmecorp into {place}\n" in done.stdout
    assert new(tmp_path, "dns", "acmecorp", "--directory", "deep/er/place").returncode == 0
    assert (tmp_path / "deep/er/place/pyproject.toml").exists()


def test_nothing_that_is_there_is_touched(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file", "link"):
        done = new(tmp_path, "dns", "acmecorp", "--directory", name)
        assert done.returncode == 2
        assert "Name another place with --directory." in done.stderr
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert new(tmp_path, "dns", "acmecorp", "--directory", "empty").returncode == 0


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        scaffold.write(Project.named(DNS, "acmecorp"), tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_a_place_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    done = new(tmp_path, "dns", "acmecorp", "--directory", "file/p")
    assert done.returncode == 1
    assert "could not write" in done.stderr


def test_the_command_offers_every_kind_that_has_templates():
    assert sorted(NEW_FAMILIES) == sorted(FAMILIES)
    assert tuple(NEW_TYPES) == CHALLENGE_TYPES


@pytest.mark.parametrize("type_", CHALLENGE_TYPES)
def test_a_project_answers_the_type_that_was_asked_for(tmp_path, type_):
    project = Project.named(CHALLENGE, "acmecorp", type_)
    texts = dict(scaffold.files_of(project))
    assert [text for text in texts.values() if f'return ["{type_}"]' in text]
    assert type_ in texts[next(text for text in texts if text.name == "README.md")]


def test_only_challenges_have_a_type(tmp_path):
    done = new(tmp_path, "dns", "acmecorp", "--type", "http-01")
    assert done.returncode == 2
    assert "Leave --type out" in done.stderr

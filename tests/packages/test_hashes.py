"""Libraries of others come from files whose hashes are known, or not at all."""

import hashlib
import runpy
import sys
import zipfile
from importlib.metadata import distributions

import pytest
from environments import ROOT
from packaging.requirements import Requirement
from packaging.version import Version
from resources import uses

sys.path.insert(0, str(ROOT / "tools"))
try:
    import hashed

    PINS = runpy.run_path(str(ROOT / "tools/constraints.py"))
finally:
    sys.path.pop(0)

FILES = [ROOT / "hashes.txt", ROOT / "tests/servers/a2c.txt"]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder of wheels, in which pip looks, with one of a library that is called ``thing``."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    made = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("thing.py", "")
        notes = {"METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n", "RECORD": ""}
        notes["WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        for name, text in notes.items():
            archive.writestr(f"thing-1.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return made


@uses("build")
@pytest.mark.parametrize("known", [True, False])
def test_a_file_is_installed_where_its_hash_is_known_and_refused_where_not(mirror, tmp_path, known):
    digest = hashlib.sha256(mirror.read_bytes()).hexdigest()
    file, site = tmp_path / "hashes.txt", tmp_path / "site"
    file.write_text(f"# known\nThing==1.0 \\\n    --hash=sha256:{digest if known else '0' * 64}\n")

    def install():
        hashed.install(sys.executable, ["thing"], "--target", str(site), file=file)

    if known:
        install()
    else:
        with pytest.raises(hashed.RefusedError) as refused:
            install()
        said = str(refused.value)
        assert "\n" not in said
        assert said.startswith("Thing==1.0: refused, for hashes.txt does not know the file")
        assert digest in said
    assert (site / "thing.py").exists() is known


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_requirement_has_a_version_and_hashes(file):
    known = hashed.requirements(file.read_text())
    assert len(known) > 20
    for name, line in known.items():
        pin, *hashes = line.split()
        assert hashed.normalized(pin.partition("==")[0]) == name
        assert hashes, name
        assert all(hash_.startswith("--hash=sha256:") and len(hash_) == 78 for hash_ in hashes), (
            name
        )


def test_what_is_pinned_is_what_has_hashes():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    known = hashed.requirements((ROOT / "hashes.txt").read_text())
    assert [line for line in pins if line[0] != "#"] == [
        value.split()[0] for value in known.values()
    ]


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_nothing_that_is_needed_lacks_a_hash(python):
    """Also on the Debian that this environment is not of: nothing is resolved there."""
    known = hashed.requirements((ROOT / "hashes.txt").read_text())
    place = {"extra": "", "python_version": python, "python_full_version": f"{python}.2"}
    missing = {
        f"{distribution.name} needs {needed.name}"
        for distribution in distributions()
        for needed in map(Requirement, distribution.requires or [])
        if needed.marker is None or needed.marker.evaluate(place)
        if hashed.normalized(needed.name) not in known and "pvefw" not in needed.name
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("Some_Library-1.0.tar.gz", True),
        ("some_library-1.1.tar.gz", False),
        ("some_library-1.0-py3-none-any.whl", True),
        ("some_library-1.0-py2-none-any.whl", False),
        ("some_library-1.0-cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("some_library-1.0-cp37-abi3-manylinux_2_34_x86_64.whl", True),
        ("some_library-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", False),
        ("some_library-1.0-cp313-cp313t-manylinux_2_17_x86_64.whl", False),
        ("some_library-1.0-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("some_library-1.0-cp311-cp311-win_amd64.whl", False),
        ("some_library-1.0.win32.exe", False),
    ],
)
def test_the_hashes_are_of_what_a_supported_debian_may_be_given(file, wanted):
    other = {"filename": "some_library-1.0.zip", "hashes": {"sha256": "0"}}
    said = {"files": [{"filename": file, "hashes": {"sha256": "1"}}, other]}
    made = PINS["with_hashes"]("some-library==1.0\n", lambda _: said)
    assert ("--hash=sha256:1" in made) is wanted
    assert PINS["fits"](file, Version("1.0")) is wanted


def test_a_release_without_a_file_is_no_pin():
    with pytest.raises(ValueError, match=r"gone==1\.0: the index has no file of it"):
        PINS["with_hashes"]("gone==1.0\n", lambda _: {"files": []})

"""Versions are ordered as dpkg does it."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from pvefw.boot import versions

REAL = [
    "5.0.15-1-pve",
    "5.15.30-1-pve",
    "5.4.203-1-pve",
    "6.1.0-9-amd64",
    "6.1.0-10-amd64",
    "6.2.16-20-pve",
    "6.8.4-2-pve",
    "6.8.12-4-pve",
    "6.8.12-10-pve",
    "6.8.12-4-pve-signed",
    "6.8~rc3-1-pve",
    "6.8-1-pve",
    "6.12.117+deb12-cloud-amd64",
    "6.12.117-cloud-amd64",
]
PART = st.text("0123456789abzAZ.+~-", min_size=1, max_size=12)


def dpkg(version, other):
    """dpkg's verdict; it does not know versions that begin with a letter, or end with a hyphen."""
    for relation, value in (("lt", -1), ("eq", 0), ("gt", 1)):
        done = subprocess.run(
            ["dpkg", "--compare-versions", version, relation, other],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return value
    raise AssertionError(f"{version} {other}: {done.stderr}")


def sign(number):
    return (number > 0) - (number < 0)


def test_real_versions_are_ordered_as_by_dpkg():
    for at, version in enumerate(REAL):
        for other in REAL[at:]:
            assert sign(versions.compare(version, other)) == dpkg(version, other), (version, other)
            assert sign(versions.compare(other, version)) == dpkg(other, version), (other, version)


@settings(max_examples=settings.default.max_examples // 2)
@given(PART, PART)
def test_any_versions_are_ordered_as_by_dpkg(version, other):
    version, other = f"6{version}1", f"6{other}1"
    assert sign(versions.compare(version, other)) == dpkg(version, other)


def test_the_order_is_not_that_of_text():
    assert max(["6.8.12-10-pve", "6.8.12-9-pve"], key=versions.key) == "6.8.12-10-pve"


def test_series():
    assert versions.series("6.8.12-4-pve") == "6.8"
    assert versions.series("6.12.117+deb12-cloud-amd64") == "6.12"
    assert versions.series("odd") == "odd"

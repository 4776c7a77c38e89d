"""What runs on the other host, where the owner of the directory is no friend."""

import base64
import subprocess

import pytest

from pvefw_observer_targets.forms import Wanted
from pvefw_observer_targets.ssh import _script

PLANTS = """#!/bin/sh
/bin/rm "$@"
case "$*" in *{kind}*) ln -s "{victim}" "{place}" ;; esac
"""
"""rm(1), and a stranger who is quicker than what follows it."""


def run(tmp_path, target, data, mode=0o640):
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-c", _script([Wanted("key", target, data, mode)], None)],
        input=base64.b64encode(data) + b"\n",
        env={"PATH": path},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("kind", ["pvefw-new", "pvefw-old"])
def test_a_link_that_is_put_in_the_way_is_not_followed(tmp_path, kind):
    victim, target = tmp_path / "victim", tmp_path / "web/key.pem"
    victim.write_text("root's own")
    victim.chmod(0o600)
    target.parent.mkdir()
    target.write_text("what the stranger wants to be there")
    (tmp_path / "bin").mkdir()
    place = target.with_name(f".key.pem.{kind}")
    (tmp_path / "bin/rm").write_text(PLANTS.format(kind=kind, victim=victim, place=place))
    (tmp_path / "bin/rm").chmod(0o755)
    assert run(tmp_path, target, b"new").returncode == 1
    assert victim.read_text() == "root's own"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert target.read_text() == "what the stranger wants to be there"


@pytest.mark.parametrize("links", [True, False])
def test_files_have_their_mode_also_where_there_are_no_hard_links(tmp_path, links):
    target = tmp_path / "web/key.pem"
    (tmp_path / "bin").mkdir()
    if not links:
        (tmp_path / "bin/ln").symlink_to("/bin/false")
    for data in (b"one", b"two"):
        done = run(tmp_path, target, data)
        assert (done.returncode, done.stderr) == (0, b"")
        assert target.read_bytes() == data
        assert target.stat().st_mode & 0o777 == 0o640
    assert [*target.parent.iterdir()] == [target]

"""What root takes over from others: documents, and what other ACME clients keep."""

import os

import pytest
from certificates import NOW, self_signed
from privileges import only_root

from pvefw import instances
from pvefw.certs import importing, other_clients
from pvefw.core.errors import ConfigError, UsageError
from pvefw.store import accounts
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask
from pvefw.wanted import document

URL = "https://ca.test/directory"


def test_aliases_make_no_document_without_end():
    """A dozen to the power of eight values, in a few hundred bytes."""
    lines, alias = ["plugins:"], "n"
    for level in range(8):
        lines.append(f"  p{level}: {{nodes: &l{level} [{', '.join([alias] * 12)}]}}")
        alias = f"*l{level}"
    with pytest.raises(ConfigError, match="more than 100000 values, aliases counted"):
        document.read("\n".join(lines).encode(), "x")


def test_a_value_that_holds_itself_is_a_fault_of_the_document():
    with pytest.raises(ConfigError):
        document.read(b"plugins: &x {a: *x, b: [*x]}", "x")


# --- other clients --------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path):
    """The directory of acme.sh with a certificate, whose reload command and settings can be any."""
    home = tmp_path / ".acme.sh"
    place = home / "a.example.com_ecc"
    place.mkdir(parents=True)
    certificate, key = self_signed("a.example.com")
    (place / "fullchain.cer").write_bytes(certificate)
    (place / "a.example.com.key").write_bytes(key)
    (place / "a.example.com.conf").write_text(
        f"Le_API='{URL}'\nLe_Webroot='dns_x'\nLe_ReloadCmd='touch /root/taken'\n"
    )
    (home / "account.conf").write_text("SAVED_X_Token='cmd:/usr/bin/touch /root/taken'\n")
    return home


@pytest.fixture
def here(tmp_path):
    paths = Paths(tmp_path / "root", "pve1")
    accounts.save(paths, Account("default", URL, f"{URL}/1", "a key"))
    scripts = paths.root / "usr/share/acme.sh/dnsapi"
    scripts.mkdir(parents=True)
    (scripts / "dns_x.sh").write_text(
        "dns_x_info='X\nOptions:\n X_Token Token\n'\ndns_x_add() { :; }\ndns_x_rm() { :; }\n"
    )
    return paths


def take(paths, home, plugin):
    task = FakeTask()
    [found] = other_clients.certificates(home)
    importing.take_certificate(paths, importing.Import(found, "web", plugin), task, NOW)
    return "".join(path.read_text() for path in paths.root.rglob("pvefw.cfg")), task


def test_what_is_text_to_another_client_is_no_program_here(theirs, here):
    with pytest.raises(UsageError, match=r"X_Token of acme\.sh would be a reference"):
        take(here, theirs, "")
    assert not instances.load_all(Node.open(here), "dns")


@pytest.mark.parametrize(
    "who", ["root", "a group", pytest.param("a user", marks=only_root("chown"))]
)
def test_no_command_is_taken_from_a_file_that_others_write(theirs, here, who):
    file = theirs / "a.example.com_ecc/a.example.com.conf"
    if who == "a group":
        file.parent.chmod(0o775)
    elif who == "a user":
        os.chown(file, 12345, 12345)
    sections, task = take(here, theirs, "standalone")
    assert ("reload-command touch /root/taken" in sections) is (who == "root")
    assert bool(task.warnings) is (who != "root")

"""Files, locks, stores, sockets and programs on hosts where something is not as usual."""

import os
import subprocess
import sys

import pytest

from pvefw.core.errors import NotFound, ProgramError, ProviderError, StoreError
from pvefw.host import foreign, listening, port_owner, programs
from pvefw.store import (
    datacenter,
    directory,
    files,
    locks,
    nodes,
    pmxcfs,
    properties,
    shared,
    units,
)
from pvefw.store.directory import Directory
from pvefw.store.paths import Paths
from pvefw.store.section_config import SectionConfig

# --- files --------------------------------------------------------------------------------------------


def test_an_option_that_is_set_again_writes_nothing(paths):
    datacenter.change(paths, {"max_workers": "3"})
    before = paths.datacenter_cfg.stat()
    datacenter.change(paths, {"max_workers": "3"})
    after = paths.datacenter_cfg.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    datacenter.change(paths, {}, delete=["max_workers"])
    assert b"max_workers" not in paths.datacenter_cfg.read_bytes()


def test_a_kernel_without_a_file_gets_none(tmp_path):
    with pytest.raises(NotFound, match="ksm/run: no such file"):
        files.tell_kernel(tmp_path / "ksm/run", "2")
    assert list(tmp_path.iterdir()) == []


def test_links_that_lead_on_and_on_are_refused(tmp_path):
    (tmp_path / "0").mkdir()
    for number in range(60):
        (tmp_path / f"{number + 1}").symlink_to(f"{number}")
    with foreign.directory(tmp_path / "30"):
        pass
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        foreign.directory(tmp_path / "60").__enter__()


@pytest.mark.parametrize(
    ("value", "why"),
    [(";", "there is no HOST:PORT in it"), ("a.example", "'a.example' is not HOST:PORT, like ")],
)
def test_where_a_certificate_is_served_is_a_place(value, why):
    with pytest.raises(ValueError, match=why):
        properties._serves(value)


def test_a_property_that_a_section_lacks_is_looked_for_at_its_header():
    text = b"# mine\n\nexec: a\n\tprogram /bin/true\n"
    [section] = SectionConfig.parse(text, "x").sections
    assert (section.line_of("program"), section.line_of("nodes")) == (4, 3)


# --- locks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noted", [b"", b"rubbish", b"4194305 7", b"-1", b"9" * 30])
def test_a_holder_that_nobody_knows_is_another_process(tmp_path, noted):
    """A note of one that was killed, say, in a lock that Proxmox VE's tools have taken since."""
    path = tmp_path / "lock"
    path.write_bytes(noted)
    with path.open("rb") as file:
        error = locks._holder(file.fileno(), "boot")
    assert error.message == "boot: another process has locked this"
    assert error.hint == "Wait until it is done, then try again."


def test_the_note_of_a_killed_holder_does_not_count_where_the_kernel_knows_better(
    tmp_path, monkeypatch
):
    path = tmp_path / "lock"
    path.write_bytes(b"4194305 7")
    monkeypatch.setattr(locks, "_holder_by_kernel", lambda _descriptor: str(os.getpid()))
    with path.open("rb") as file:
        error = locks._holder(file.fileno(), "boot")
    assert error.message.startswith(f"boot: process {os.getpid()} (")


# --- other nodes --------------------------------------------------------------------------------------


def test_a_name_that_resolves_is_an_address(paths):
    assert nodes.address(paths, "localhost") in ("127.0.0.1", "::1")


# --- stores -------------------------------------------------------------------------------------------


def test_a_directory_that_somebody_else_is_changing(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "_PATIENCE", -1.0)
    here, other = Directory(tmp_path), Directory(tmp_path)
    held = other.store_lock(name=directory._CHANGES, holder="", seconds=60.0)
    with pytest.raises(ProviderError) as caught:
        here.store_swap(key="a", data=b"x", revision="", locks=[])
    assert caught.value.message == f"{tmp_path}: its lock is not free"
    other.store_unlock(held)
    assert here.store_swap(key="a", data=b"x", revision="", locks=[])


@pytest.fixture
def node(tmp_path):
    """A node whose files are kept in a directory."""
    found = Paths(tmp_path / "pve1", "pve1")
    (tmp_path / "store").mkdir()
    found.store_cfg.parent.mkdir(parents=True)
    found.store_cfg.write_text(f"store: directory\npath: {tmp_path / 'store'}\n")
    return found


def test_a_file_that_the_store_never_had_is_removed_without_a_word(node):
    files.replace(node.datacenter_cfg, b"x")
    files.remove(node.cluster_pvefw_cfg)
    assert files.read(node.datacenter_cfg) == b"x"


def test_a_store_that_refuses_says_so_with_what_to_do(node):
    store = shared.of(node.node_config())
    for hint, expected in (
        ("Look there.", "Look there."),
        ("", f"Nothing was changed. Look at the store that {node.store_cfg} names."),
    ):
        with pytest.raises(StoreError) as caught, store.asking("a: could not change the file"):
            raise ProviderError("no permission", hint=hint)
        assert caught.value.message == (
            "a: could not change the file: the store refuses: no permission"
        )
        assert caught.value.hint == expected


def test_a_store_beside_proxmox_ves_own_is_refused(node, monkeypatch):
    monkeypatch.setattr(pmxcfs, "is_mounted", lambda _root: True)
    with pytest.raises(StoreError, match="the cluster file system is mounted here") as caught:
        shared.of(node.node_config()).listing()
    assert caught.value.hint == "Remove the file."


def test_a_configuration_of_the_store_that_cannot_be_read(node):
    node.store_cfg.unlink()
    node.store_cfg.mkdir()
    with pytest.raises(StoreError) as caught:
        shared.of(node.node_config()).listing()
    assert caught.value.message == f"{node.store_cfg}: could not read the file: Is a directory"


# --- who has a port -------------------------------------------------------------------------------------


def test_a_port_of_nobody_that_we_see(tmp_path):
    assert port_owner.owner(0) == "another process"
    assert port_owner._name(tmp_path) == "a process"


def test_where_there_is_no_ipv6_all_addresses_are_those_of_ipv4(monkeypatch):
    monkeypatch.setattr(listening, "_has_ipv6", lambda: False)
    assert listening._all_addresses() == ["0.0.0.0"]


def test_what_is_no_address_cannot_be_listened_on():
    with pytest.raises(OSError, match=r"^no address:18080: cannot listen: "):
        listening._listening("no address", 18080, "stop it")


# --- programs -------------------------------------------------------------------------------------------


def test_a_command_that_cannot_be_started_in_the_background(monkeypatch):
    def full(*_arguments, **_more):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", full)
    for start in (
        lambda: programs.start_pvefw("task", "index"),
        lambda: programs.start_apart(["renew"], 3),
    ):
        with pytest.raises(ProgramError) as caught:
            start()
        assert caught.value.message == (
            "pvefw: could not start the program: Cannot allocate memory"
        )


def test_why_no_program_can_be_kept_apart(monkeypatch):
    def refused(*_arguments, **_more):
        raise ProgramError("bwrap: Operation not permitted")

    programs._refusal.cache_clear()
    programs._has_namespaces.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(programs, "run", refused)
            assert programs._refusal() == (
                "namespaces are not allowed here: bwrap: Operation not permitted"
            )
            assert programs._has_namespaces() is False
            patch.setenv("PATH", "")
            assert programs.Sandbox.obstacle() == "bubblewrap is not installed"
    finally:
        programs._refusal.cache_clear()
        programs._has_namespaces.cache_clear()


def test_pvefw_that_is_run_as_a_module_is_called_so_by_units(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/dist-packages/pvefw/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert units.program() == f"{tmp_path / 'python3'} -m pvefw"
    program = tmp_path / "pvefw"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert units.program() == str(program)


def test_a_unit_that_systemd_rejects_is_named_with_its_words(paths, tmp_path, monkeypatch):
    analyze = tmp_path / "systemd-analyze"
    analyze.write_text(
        "#!/bin/sh\necho \"$2:3: Unknown key name 'X'\" >&2\necho 'other.service: fine' >&2\n"
    )
    analyze.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ProgramError) as caught:
        units.install(paths, {"a.service": "[Unit]\nX=1\n"}, enable=["a.service"])
    assert caught.value.message == "systemd-analyze verify: a.service:3: Unknown key name 'X'"
    assert not (paths.below(units.DIRECTORY) / "a.service").exists(), "systemd would read it"

"""``boot refresh`` on ESPs that are directories."""

import dataclasses
import json
import os
import shutil
import threading
from pathlib import Path, PurePosixPath

import pytest
from boot.conftest import UUIDS, Plain, loaders_of

from pvefw.api import BootTree, Firmware, ProviderError, hookimpl
from pvefw.boot import choice, esp_files, manifest, records, refresh, registry, status
from pvefw.boot.disks import Devices
from pvefw.boot.loaders import Loaders
from pvefw.boot.records import Identity
from pvefw.core import binding
from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    ProgramError,
    PvefwError,
    StoreError,
    UsageError,
)
from pvefw.core.families import BOOTLOADER
from pvefw.instances.codec import encode_data
from pvefw.store import oddities
from pvefw.testing.fakes import FakeTask


def tree(machine, uuid):
    root = machine.directory / uuid
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def times(machine):
    return {uuid: machine.seal(machine.devices().with_uuid(uuid)[0]) for uuid in UUIDS}


def claim(host, uuid, *names, **changes):
    """Let these files be ours: an earlier version of pvefw has written them."""
    record = records.load(host.paths, uuid)
    ours = sorted({*record.manifest, *manifest.keys(names)})
    records.save(host.paths, uuid, dataclasses.replace(record, manifest=ours, **changes))


def test_every_esp_gets_all_kernels(ready, machine, host):
    for uuid in UUIDS:
        found = tree(machine, uuid)
        assert len(found) == 3 * 2 + 3
        for version in ("6.8.12-4-pve", "6.8.4-2-pve", "6.5.13-6-pve"):
            for name, ours in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")):
                source = host.root / f"boot/{name}-{version}"
                assert found[f"plain/{version}/{ours}-{version}"] == source.read_bytes()
        assert found["plain/menu"].split()[-1] == b"6.8.12-4-pve"
    assert host.paths.esp_uuids.read_text() == "AAAA-0001\nBBBB-0002\n"
    assert status.status(ready()).ok


def test_nothing_changed_nothing_written(ready, machine):
    before = times(machine)
    machine.mounts.clear()
    made = ready()
    result = refresh.refresh(made)
    assert times(machine) == before
    assert not any(mount.writable for mount in machine.mounts)
    assert result.changed == []
    assert result.synced == list(UUIDS)


class Counting(esp_files.EspFiles):
    read_files: list = []  # noqa: RUF012 - all of them share it

    def equals(self, target, source):
        self.read_files.append(target)
        return super().equals(target, source)


@pytest.fixture
def settled(monkeypatch):
    """Whatever a test writes counts as old."""
    monkeypatch.setattr(records, "_SETTLED", -1)
    Counting.read_files.clear()


def test_a_seal_saves_reading_and_only_a_seal(settled, ready, machine):
    refresh.refresh(ready())
    refresh.refresh(ready(files=Counting))
    assert Counting.read_files == []

    machine.boots += 1  # the host was started again: nobody has watched the ESPs meanwhile
    refresh.refresh(ready(files=Counting))
    assert len(Counting.read_files) == 12
    Counting.read_files.clear()
    refresh.refresh(ready(files=Counting))
    assert Counting.read_files == []


def test_a_kernel_that_has_changed_is_copied_and_nothing_else_is_done(
    settled, ready, host, monkeypatch
):
    """What takes time is counted: content that we see ourselves, and waiting for the disk."""
    refresh.refresh(ready())
    host.install("6.8.12-4-pve", marker=" again", size=6000)
    seen, syncs = [], []
    monkeypatch.setattr(esp_files.Piece, "read", seen.append)
    wait = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (syncs.append(descriptor), wait(descriptor))
    )

    assert refresh.refresh(ready(files=Counting)).changed == list(UUIDS)

    assert (seen, Counting.read_files) == ([], [])
    on_each = 2 + 1  # the kernel, its initrd, their folder
    record = 2 * 2  # the seal is broken and set: the file, its folder
    assert len(syncs) == 2 * (on_each + record)


def test_a_file_that_changes_within_one_tick_of_its_clock_is_noticed(
    ready, machine, host, monkeypatch
):
    """As long as it is young, a file may have other content and the same times."""
    monkeypatch.setattr(records, "_SETTLED", 10**20)  # it stays young, however slow we are
    path = host.root / "boot/initrd.img-6.8.12-4-pve"
    path.write_text("being written".ljust(5000))
    coarse = {file: Identity.of(file) for file in (host.root / "boot").iterdir()}
    monkeypatch.setattr(Identity, "of", coarse.get)
    assert not coarse[path].settled
    refresh.refresh(ready())
    path.write_text("complete".ljust(5000))

    assert refresh.refresh(ready()).changed == list(UUIDS)

    copy = machine.directory / UUIDS[0] / "plain/6.8.12-4-pve/initrd-6.8.12-4-pve"
    assert copy.read_text() == path.read_text()


def test_a_change_that_keeps_size_and_time_is_found(ready, machine):
    path = machine.directory / UUIDS[0] / "plain/6.8.12-4-pve/initrd-6.8.12-4-pve"
    data, stat = bytearray(path.read_bytes()), path.stat()
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    machine.boots += 1
    assert not status.status(ready()).ok
    result = refresh.refresh(ready())
    assert result.changed == [UUIDS[0]]
    assert status.status(ready()).ok


def test_an_initrd_that_is_made_anew_under_its_name_is_noticed(ready, machine, host):
    refresh.refresh(ready())
    path = host.root / "boot/initrd.img-6.8.12-4-pve"
    stat = path.stat()
    path.write_text(path.read_text().swapcase())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    result = refresh.refresh(ready())

    assert result.changed == list(UUIDS)
    for uuid in UUIDS:
        copy = machine.directory / uuid / "plain/6.8.12-4-pve/initrd-6.8.12-4-pve"
        assert copy.read_bytes() == path.read_bytes()


def test_kernels_come_and_go(ready, machine, host):
    host.install("6.8.20-1-pve")
    refresh.refresh(ready())
    for uuid in UUIDS:
        assert sorted(path.name for path in (machine.directory / uuid / "plain").iterdir()) == [
            "6.5.13-6-pve",
            "6.8.12-4-pve",
            "6.8.20-1-pve",
            "cmdline",
            "loader",
            "menu",
        ]
    host.remove("6.8.20-1-pve")
    refresh.refresh(ready())
    assert status.status(ready()).kernels == ["6.8.12-4-pve", "6.8.4-2-pve", "6.5.13-6-pve"]
    assert status.status(ready()).ok


def test_a_kernel_that_is_being_installed_is_kept(ready, host):
    host.install("6.2.16-20-pve")
    refresh.refresh(ready(), installing="6.2.16-20-pve")
    assert "6.2.16-20-pve is not needed" in str(status.status(ready()).as_dict())
    refresh.refresh(ready())
    assert status.status(ready()).ok


def test_next_boot_is_armed_everywhere_and_disarmed_after_a_boot(ready, host, plain, monkeypatch):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    refresh.refresh(ready())
    assert plain.once == dict.fromkeys(UUIDS, "6.5.13-6-pve")

    host.boot(2)
    plain.once[UUIDS[0]] = None  # the loader of the disk that booted has used it up
    told = []
    monkeypatch.setattr(
        refresh.events, "tell", lambda _node, hook, event, _task: told.append((hook, event))
    )
    task = FakeTask()
    refresh.refresh(ready(task=task))

    [notice] = [event for hook, event in told if hook == "on_notice"]
    assert notice.kind == "boot-unexpected"
    assert notice.facts["wanted"] == "6.5.13-6-pve"
    assert plain.once == dict.fromkeys(UUIDS, None)
    assert any("the one-time boot of kernel" in line for line in task.lines)
    assert not host.paths.next_boot_kernel.exists()


# --- what is not as it should be ---------------------------------------------------------------------


def problems(context):
    found = status.status(context)
    return "\n".join([*found.problems, *(line for esp in found.esps for line in esp.problems)])


def test_drift_is_told_and_repaired(ready, machine, host):
    own = machine.directory / UUIDS[1] / "plain"
    (own / "6.8.12-4-pve/vmlinuz-6.8.12-4-pve").write_text("short")
    (own / "6.8.4-2-pve/initrd-6.8.4-2-pve").unlink()
    (own / "cmdline").write_text("root=/dev/other000")
    (own / "5.4.1-pve").mkdir()
    (own / "5.4.1-pve/vmlinuz-5.4.1-pve").write_text("stale")
    (own / "6.0.0-pve").mkdir()
    (own / ".menu.pvefw-new").write_text("half")
    (own.parent / "FSCK0000.REC").write_text("clusters of no file")
    stale = ["plain/5.4.1-pve/vmlinuz-5.4.1-pve", "plain/6.0.0-pve/vmlinuz-6.0.0-pve"]
    claim(host, UUIDS[1], *stale, under_way=True)

    found = status.status(ready())
    first, second = found.esps
    assert not found.ok
    assert first.state == "ok"
    assert second.state == "drift"
    assert set(second.problems) == {
        "plain/6.8.12-4-pve/vmlinuz-6.8.12-4-pve differs in size",
        "plain/6.8.4-2-pve/initrd-6.8.4-2-pve is missing",
        "plain/cmdline differs",
        "plain/5.4.1-pve/vmlinuz-5.4.1-pve is not needed",
        "plain/.menu.pvefw-new is left from an interrupted refresh",
        "FSCK0000.REC is left from an interrupted refresh",
        "plain/5.4.1-pve is an empty folder",
        "plain/6.0.0-pve is an empty folder",
    }

    assert refresh.refresh(ready()).changed == [UUIDS[1]]
    assert status.status(ready()).ok
    assert not (own / "5.4.1-pve").exists()
    assert not (own / "6.0.0-pve").exists()


def test_a_pin_that_the_loader_overrules_is_told(ready, host):
    class Stubborn(Plain):
        @hookimpl
        def boot_probe(self, esp):
            state = super().boot_probe(esp)
            return dataclasses.replace(state, default="6.8.4-2-pve")

    loaders = loaders_of(Stubborn())
    assert status.status(ready(loaders=loaders)).ok, "its own configuration may decide"
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=False)
    refresh.refresh(ready(loaders=loaders))
    said = problems(ready(loaders=loaders))
    assert "plain boots 6.8.4-2-pve by default, though 6.5.13-6-pve is pinned" in said


def test_an_esp_that_is_missing_fails_the_refresh_of_the_others_not(ready, machine, host):
    (machine.directory / UUIDS[0]).rename(machine.directory.parent / "pulled")
    host.install("6.8.20-1-pve")

    with pytest.raises(StoreError, match="AAAA-0001: not found") as caught:
        refresh.refresh(ready())

    assert "pvefw boot clean" in caught.value.hint
    assert "1 of 2 ESPs are up to date" in caught.value.message
    assert (machine.directory / UUIDS[1] / "plain/6.8.20-1-pve").is_dir()
    found = status.status(ready())
    assert [esp.state for esp in found.esps] == ["missing", "ok"]
    assert not found.ok
    assert status.summary(host.paths)["esps"][0]["failure"]

    assert registry.clean(ready(), dry_run=True) == ["AAAA-0001"]
    assert "AAAA-0001" in host.paths.esp_uuids.read_text()
    assert registry.clean(ready(), dry_run=False) == ["AAAA-0001"]
    assert host.paths.esp_uuids.read_text() == "BBBB-0002\n"
    refresh.refresh(ready())
    assert status.status(ready()).ok


def test_a_disk_that_was_copied_as_it_is(ready, machine, monkeypatch):
    """Two partitions have one volume id, and nobody knows which of them is meant."""
    there = list(machine.devices())
    copy = dataclasses.replace(there[2], path=Path("/dev/sdc2"), kname="sdc2", parent="sdc")
    monkeypatch.setattr(machine, "devices", lambda: Devices([*there, copy]))
    with pytest.raises(StoreError, match="/dev/sdc2 has the same volume id"):
        refresh.refresh(ready())
    with pytest.raises(UsageError, match="has the same volume id"):
        registry.init(ready(), copy.path, "plain")
    assert [esp.state for esp in status.status(ready()).esps] == ["error", "ok"]
    assert registry.clean(ready(), dry_run=True) == []


def test_where_no_file_system_can_be_seen_no_esp_is_taken_for_gone(ready, machine, monkeypatch):
    before = ready().paths.esp_uuids.read_bytes()
    blind = [dataclasses.replace(device, fstype="", uuid="") for device in machine.devices()]
    monkeypatch.setattr(machine, "devices", lambda: Devices(blind))
    with pytest.raises(ProgramError, match="sees no file system") as caught:
        registry.clean(ready(), dry_run=False)
    assert "/run/udev" in caught.value.hint
    assert ready().paths.esp_uuids.read_bytes() == before


def test_rubbish_among_the_uuids_is_named(ready, host):
    host.paths.esp_uuids.write_text("# disks\nAAAA-0001\n../../etc/passwd\nBBBB-0002\n\x1b[2J\n")
    heard = []
    with oddities.listening(heard.append):
        assert refresh.refresh(ready()).failed == {}
    assert [warning.partition(": ")[0] for warning in heard] == [str(host.paths.esp_uuids)] * 2
    assert "'../../etc/passwd'" in heard[0]
    assert "'\\x1b[2J'" in heard[1]
    assert [esp.state for esp in status.status(ready()).esps] == ["ok", "missing", "ok", "missing"]
    assert registry.clean(ready(), dry_run=False) == ["../../etc/passwd", "\x1b[2J"]
    assert host.paths.esp_uuids.read_text() == "# disks\nAAAA-0001\nBBBB-0002\n"
    assert not (host.root / "etc/passwd.json").exists()


def test_two_loaders_on_one_esp_are_both_kept_right_and_told(ready, machine, plain, host):
    other = Plain("other")
    loaders = loaders_of(plain, other)
    registry.init(ready(loaders=loaders), machine.path_of(UUIDS[0]), "other")

    found = status.status(ready(loaders=loaders))
    assert found.esps[0].state == "drift"
    assert found.esps[0].problems == ["it has several boot loaders for BIOS: other, plain"]
    assert "different boot loaders: other on AAAA-0001; plain on" in found.problems[0]

    host.install("6.8.20-1-pve")
    refresh.refresh(ready(loaders=loaders))
    for name in ("plain", "other"):
        assert (machine.directory / UUIDS[0] / name / "6.8.20-1-pve").is_dir()


def test_a_loader_for_each_firmware_is_as_it_should_be(ready, machine, plain):
    loaders = loaders_of(plain, Plain("other", Firmware.UEFI))
    for uuid in UUIDS:
        (machine.directory / uuid / "other").mkdir()
        (machine.directory / uuid / "other/loader").write_text("1.0")
    refresh.refresh(ready(loaders=loaders))
    found = status.status(ready(loaders=loaders))
    assert found.ok, (found.problems, found.esps)
    assert [sorted(esp.loaders) for esp in found.esps] == [["other", "plain"]] * 2


def test_an_esp_that_is_listed_twice_is_one(ready, machine, host):
    host.paths.esp_uuids.write_text("aaaa-0001\nBBBB-0002\nAAAA-0001\nBBBB-0002\n")
    assert len(status.status(ready()).esps) == 2
    host.install("6.8.20-1-pve")
    assert refresh.refresh(ready()).changed == ["aaaa-0001", "BBBB-0002"]
    assert registry.clean(ready(), dry_run=False) == []
    (machine.directory / UUIDS[0]).rename(machine.directory.parent / "pulled")
    assert registry.clean(ready(), dry_run=False) == ["aaaa-0001"]
    assert host.paths.esp_uuids.read_text() == "BBBB-0002\nBBBB-0002\n"


def test_where_nothing_can_be_noted_each_esp_says_so(ready, host):
    shutil.rmtree(host.paths.boot_state)
    host.paths.boot_state.write_text("in its place")
    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError, match="2 of 2 failed") as caught:
        refresh.refresh(ready())
    assert str(host.paths.boot_state) in caught.value.message


def test_without_esps_no_disk_is_asked_for(context, machine, monkeypatch):
    monkeypatch.setattr(machine, "devices", None)  # a chroot without /sys, where lsblk fails
    assert refresh.refresh(context()).synced == []
    assert status.status(context()).esps == []


def test_different_loaders_on_different_esps(context, machine, plain):
    loaders = loaders_of(plain, Plain("other"))
    registry.init(context(loaders=loaders), machine.path_of(UUIDS[0]), "plain")
    registry.init(context(loaders=loaders), machine.path_of(UUIDS[1]), "other")
    found = status.status(context(loaders=loaders))
    assert found.problems == [
        "the ESPs have different boot loaders: other on BBBB-0002; plain on AAAA-0001"
    ]
    assert [list(esp.loaders) for esp in found.esps] == [["plain"], ["other"]]
    assert not found.ok


def test_a_loader_that_is_gone_is_an_error_and_its_files_are_kept_right(ready, machine, host):
    (machine.directory / UUIDS[0] / "plain/loader").unlink()
    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError, match="plain is no longer on it") as caught:
        refresh.refresh(ready())
    assert "pvefw boot reinit" in caught.value.hint
    assert (machine.directory / UUIDS[0] / "plain/6.8.20-1-pve").is_dir()
    assert "plain is gone" in problems(ready())
    registry.reinit(ready())
    assert status.status(ready()).ok


def test_an_esp_without_any_known_loader(context, machine, host):
    host.paths.esp_uuids.write_text("AAAA-0001\n")
    with pytest.raises(StoreError, match="it has no boot loader that") as caught:
        refresh.refresh(context())
    assert "pvefw boot init /dev/sda2" in caught.value.hint
    assert status.status(context()).esps[0].state == "error"


class Broken:
    name = "broken"

    @hookimpl
    def boot_firmware(self):
        return []

    @hookimpl
    def boot_probe(self, esp):
        raise ValueError("oops")

    @hookimpl
    def boot_install(self, esp, firmware, task):
        """Nothing."""

    @hookimpl
    def boot_render(self, esp, plan):
        return BootTree({}, {}, [])


def test_a_broken_plugin_does_not_keep_the_others_from_work(ready, machine, plain, host):
    bound = {
        loader.name: binding.bind_object(BOOTLOADER, loader, loader.name)
        for loader in (Broken(), plain)
    }
    loaders = Loaders(bound, {"worse": PvefwError("worse: its import fails")})
    host.install("6.8.20-1-pve")
    task = FakeTask()
    refresh.refresh(ready(loaders=loaders, task=task))
    assert task.warnings == ["a boot loader cannot be used: worse: its import fails"]
    said = problems(ready(loaders=loaders))
    assert "worse: its import fails" in said
    assert "a boot loader does not answer: broken: boot_probe failed: ValueError: oops" in said


class Escaping(Plain):
    target = PurePosixPath("../outside")

    @hookimpl
    def boot_render(self, esp, plan):
        tree = super().boot_render(esp, plan)
        return BootTree(tree.copies, {self.target: b"x", **tree.texts}, tree.owned)


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "a/../../b", "."])
def test_a_path_that_leads_out_of_the_esp_is_refused(ready, machine, target):
    plain = Escaping()
    plain.target = PurePosixPath(target)
    before = times(machine)
    with pytest.raises(StoreError, match="outside the ESP"):
        refresh.refresh(ready(loaders=loaders_of(plain)))
    assert times(machine) == before


def test_symbolic_links_are_not_followed(ready, machine, tmp_path, host):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep")
    own = machine.directory / UUIDS[0] / "plain"
    (own / "6.8.20-1-pve").symlink_to(outside)
    (own / "5.0-pve").mkdir()
    (own / "5.0-pve/vmlinuz").symlink_to(outside / "precious")
    (own / "menu").unlink()
    (own / "menu").symlink_to(outside / "precious")
    claim(host, UUIDS[0], "plain/5.0-pve/vmlinuz")
    host.install("6.8.20-1-pve")

    with pytest.raises(StoreError, match="File exists"):
        refresh.refresh(ready())
    assert list(outside.iterdir()) == [outside / "precious"]
    (own / "6.8.20-1-pve").unlink()
    refresh.refresh(ready())

    assert (outside / "precious").read_text() == "keep"
    assert not (own / "menu").is_symlink()
    assert not (own / "5.0-pve").exists()
    assert status.status(ready()).ok


def test_hostile_names_stay_on_their_line(ready, machine, host):
    own = machine.directory / UUIDS[0] / "plain/6.8.12-4-pve"
    (own / "a\nTASK OK\x1b[2J").write_text("x")
    os.close(os.open(bytes(own) + b"/\xff", os.O_CREAT))
    claim(host, UUIDS[0], *(f"plain/6.8.12-4-pve/{path.name}" for path in own.iterdir()))
    lines = status.status(ready()).esps[0].problems
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 2
    refresh.refresh(ready())
    assert status.status(ready()).ok


def test_a_folder_in_the_place_of_a_file(ready, machine):
    own = machine.directory / UUIDS[0] / "plain"
    (own / "cmdline").unlink()
    (own / "cmdline").mkdir()
    with pytest.raises(StoreError, match="plain/cmdline is a folder"):
        refresh.refresh(ready())


def test_names_differ_by_more_than_case(ready, machine):
    """FAT does not tell ``Menu`` from ``menu``: what differs in case is neither missing nor stale."""
    own = machine.directory / UUIDS[0] / "plain/6.8.12-4-pve"
    listing = esp_files.EspFiles(machine.directory / UUIDS[0]).listing()
    (own / "vmlinuz-6.8.12-4-pve").rename(own / "VMLINUZ-6.8.12-4-PVE")
    again = esp_files.EspFiles(machine.directory / UUIDS[0]).listing()
    assert again.files.keys() == listing.files.keys()
    assert again.matching("PLAIN/*/vmlinuz-6.8.12-4-pve") == [
        PurePosixPath("plain/6.8.12-4-pve/VMLINUZ-6.8.12-4-PVE")
    ]


def test_two_kernels_that_an_esp_cannot_tell_apart(ready, machine, host):
    before = times(machine)
    for version in ("6.9.1-A-pve", "6.9.1-a-pve"):
        host.install(version)
    with pytest.raises(StoreError, match=r"one file on an ESP") as caught:
        refresh.refresh(ready())
    assert "6.9.1-A-pve" in caught.value.message
    assert "6.9.1-a-pve" in caught.value.message
    assert times(machine) == before


def test_a_read_only_esp(ready, machine, host):
    machine.read_only.add(UUIDS[0])
    refresh.refresh(ready())  # nothing to do: it need not be writable
    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError, match="Read-only file system"):
        refresh.refresh(ready())
    assert (machine.directory / UUIDS[1] / "plain/6.8.20-1-pve").is_dir()


def test_a_damaged_command_line_touches_nothing(ready, machine, host):
    before = times(machine)
    host.write("etc/kernel/cmdline", "quiet\n")
    with pytest.raises(ConfigError):
        refresh.refresh(ready())
    assert times(machine) == before
    assert "no root=" in problems(ready())


def test_no_esp_at_all(context, host):
    task = FakeTask()
    refresh.refresh(context(task=task))
    assert "no ESP is configured" in task.lines[0]
    assert status.status(context()).esps == []


def test_a_loader_whose_tree_does_not_boot_stops_before_the_other_esps(ready, machine, host):
    class Wrong(Plain):
        @hookimpl
        def boot_render(self, esp, plan):
            made = super().boot_render(esp, plan)
            return BootTree(made.copies, {PurePosixPath("plain/menu"): b"nothing\nnothing"}, ())

    before = times(machine)[UUIDS[1]]
    with pytest.raises(StoreError, match="and nothing else") as caught:
        refresh.refresh(ready(loaders=loaders_of(Wrong())))
    assert "left as it is" in caught.value.message
    assert times(machine)[UUIDS[1]] == before


def test_an_arming_that_fails_leaves_the_default(ready, machine, host):
    class Unarmed(Plain):
        @hookimpl
        def boot_arm(self, esp, plan, task):
            raise ProviderError("the variables are full")

    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    with pytest.raises(StoreError, match="the variables are full"):
        refresh.refresh(ready(loaders=loaders_of(Unarmed())))
    for uuid in UUIDS:
        assert tree(machine, uuid)["plain/menu"].split()[-1] == b"6.8.12-4-pve"


def test_a_refresh_waits_for_another(ready, machine, host):
    class Slow(Counting):
        begun, go_on = threading.Event(), threading.Event()

        def create(self, target, chunks):
            self.begun.set()
            assert self.go_on.wait(60)
            super().create(target, chunks)

    host.install("6.8.20-1-pve")
    first = threading.Thread(target=lambda: refresh.refresh(ready(files=Slow)))
    first.start()
    assert Slow.begun.wait(60)
    done = threading.Event()
    results = []

    def again():
        results.append(refresh.refresh(ready()))
        done.set()

    second = threading.Thread(target=again)
    second.start()
    assert not done.is_set()
    Slow.go_on.set()
    first.join(60)
    second.join(60)
    assert results[0].changed == []


def test_a_cancelled_refresh_leaves_nothing_half(ready, machine, host):
    host.install("6.8.20-1-pve")
    before = tree(machine, UUIDS[0])
    task = FakeTask()

    class Impatient(esp_files.EspFiles):
        def write(self, descriptor, data):
            super().write(descriptor, data)
            task.cancelled = True

    with pytest.raises(Cancelled):
        refresh.refresh(ready(task=task, files=Impatient))
    assert tree(machine, UUIDS[0]) == before
    assert records.load(host.paths, UUIDS[0]).under_way
    refresh.refresh(ready())
    assert machine.repaired == [UUIDS[0]]
    assert status.status(ready()).ok


@pytest.mark.parametrize("moment", ["write", "sync_file"])
def test_a_source_that_changes_while_it_is_copied_is_noticed(ready, machine, host, moment):
    host.install("6.8.20-1-pve")
    source = host.root / "boot/initrd.img-6.8.20-1-pve"
    before = tree(machine, UUIDS[0])

    class Meanwhile(esp_files.EspFiles):
        def write(self, descriptor, data):
            super().write(descriptor, data)
            self._change("write")

        def sync_file(self, target):
            super().sync_file(target)
            self._change("sync_file")

        def _change(self, now):
            if now == moment:
                source.write_text(source.read_text().swapcase())

    with pytest.raises(StoreError, match="was changed while it was copied") as caught:
        refresh.refresh(ready(files=Meanwhile))
    assert f"{source}: " in caught.value.message
    assert tree(machine, UUIDS[0]) == before
    refresh.refresh(ready())
    assert status.status(ready()).ok
    copy = machine.directory / UUIDS[0] / "plain/6.8.20-1-pve/initrd-6.8.20-1-pve"
    assert copy.read_bytes() == source.read_bytes()


def test_a_source_that_cannot_be_read_leaves_nothing_half(ready, machine, host):
    host.install("6.8.20-1-pve")
    source = host.root / "boot/initrd.img-6.8.20-1-pve"
    before = tree(machine, UUIDS[0])

    class Meanwhile(esp_files.EspFiles):
        def sync_file(self, target):
            super().sync_file(target)
            source.unlink(missing_ok=True)

    with pytest.raises(StoreError, match=f"{source}: .*No such file"):
        refresh.refresh(ready(files=Meanwhile))
    assert tree(machine, UUIDS[0]) == before


# --- observers ------------------------------------------------------------------------------------


@pytest.fixture
def told(host, tmp_path):
    """What a configured observer, a program, was told."""
    said, program = tmp_path / "said", tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec cat >> "{said}"\n')
    program.chmod(0o755)
    data = encode_data({"program": str(program), "events": "boot-synced"})
    host.write(
        str(host.paths.cluster_pvefw_cfg.relative_to(host.root)),
        f"observer: mine\n\tapi exec\n\tdata {data}\n",
    )
    return lambda: [json.loads(line) for line in said.read_text().splitlines()]


def test_observers_are_told_of_what_was_synced_and_of_what_was_not(ready, machine, host, told):
    made = ready()
    (machine.directory / UUIDS[1] / "plain/cmdline").unlink()
    (machine.directory / UUIDS[1] / "plain/cmdline").mkdir()
    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError, match="is a folder, and must"):
        refresh.refresh(made)
    event = told()[-1]
    assert event["event"] == "boot-synced"
    assert event["node"] == "pve1"
    assert event["kernels"][0] == "6.8.20-1-pve"
    assert event["synced"] == [UUIDS[0]]
    assert list(event["failed"]) == [UUIDS[1]]
    assert "plain/cmdline is a folder, and must" in event["failed"][UUIDS[1]]


def test_observers_hear_nothing_of_a_refresh_that_changed_nothing(ready, host, told):
    host.install("6.8.20-1-pve")
    refresh.refresh(ready())
    heard = told()
    assert heard[-1]["synced"] == list(UUIDS)
    assert heard[-1]["failed"] == {}
    refresh.refresh(ready())
    assert told() == heard

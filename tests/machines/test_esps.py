"""Real ESPs in a workshop: what is refused, what is noticed, what a refresh repairs and leaves alone."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator

import pytest
from resources import uses
from servers.machines.workshop import Workshop

pytestmark = [pytest.mark.xdist_group("systemd-boot"), pytest.mark.timeout(900)]

ONE, OTHER = "/dev/vda2", "/dev/vdb2"


@pytest.fixture(scope="module")
def switched_on(hosts, tmp_path_factory) -> Iterator[Callable[[], Workshop]]:
    """A host with two ESPs of systemd-boot, in step; where it has hung, another one."""
    running: list[Workshop] = []
    with contextlib.ExitStack() as until_the_end:

        def machine() -> Workshop:
            if not running or running[-1].hangs:
                folder = tmp_path_factory.mktemp("esps") / "computer"
                computer = hosts("systemd-boot").default.copy(folder)
                running.append(until_the_end.enter_context(computer.workshop()))
            return running[-1]

        yield machine


@pytest.fixture
def shop(switched_on) -> Workshop:
    """The host; every test but the last leaves its ESPs in step."""
    return switched_on()


def written(shop: Workshop) -> list[int]:
    shop.run("sync")
    return [shop.bytes_written(disk) for disk in (0, 1)]


def on_esp(device: str, script: str) -> str:
    """A script that runs in a directory where the ESP is mounted, and ends with its first failure."""
    return f"set -e; mount -t vfat {device} /mnt; trap 'cd /; umount /mnt' EXIT; cd /mnt; {script}"


def status(shop: Workshop) -> dict:
    """What ``status`` says of ESPs that are not in step."""
    return json.loads(shop.fail("pvefw boot status --output-format json 2>/dev/null"))


def test_a_refresh_without_changes_writes_nothing(shop):
    before = written(shop)

    said = shop.run("pvefw boot refresh")

    assert said.count("nothing has changed") == 2
    assert written(shop) == before


def test_status_writes_nothing(shop):
    before = written(shop)

    assert "ok" in shop.run("pvefw boot status")

    assert written(shop) == before


def test_an_initrd_rebuilt_under_the_same_name_is_noticed(shop, kernels):
    initrd = f"/boot/initrd.img-{kernels[0].version}"
    # the same size and the same time stamp
    shop.run(f"""
        touch -r {initrd} /run/stamp
        printf x | dd of={initrd} bs=1 seek=1000000 conv=notrunc status=none
        touch -r /run/stamp {initrd}
    """)

    assert "initrd" in shop.fail("pvefw boot status")
    shop.run("pvefw boot refresh")

    for esp in (ONE, OTHER):
        shop.run(on_esp(esp, f"cmp {initrd} $(find . -name initrd.img-{kernels[0].version})"))


DAMAGE = """
    printf x | dd of=$(ls EFI/proxmox/*/vmlinuz-* | head -1) bs=1 seek=5000 conv=notrunc
    rm $(ls EFI/proxmox/*/vmlinuz-* | tail -1)
    truncate -s 100000 $(ls EFI/proxmox/*/initrd.img-* | head -1)
    echo '# by hand' >>loader/loader.conf
    rm $(ls loader/entries/*.conf | head -1)
"""
"""A kernel that is changed and one that is gone, an initrd cut off, settings, an entry that is gone."""


def test_drift_is_reported_and_repaired(shop):
    listing = "ls EFI/proxmox/*/vmlinuz-*; ls EFI/proxmox/*/initrd.img-* loader/entries/*.conf"
    files = shop.run(on_esp(OTHER, listing)).split()
    changed, deleted = files[0], files[1]
    truncated = next(file for file in files if "initrd" in file)
    entry = next(file for file in files if file.startswith("loader/"))
    shop.run(on_esp(OTHER, DAMAGE))

    found = status(shop)

    states = {esp["device"]: esp for esp in found["esps"]}
    assert states[ONE]["state"] == "ok"
    assert states[OTHER]["state"] == "drift"
    said = "\n".join(states[OTHER]["problems"])
    for name in (changed, deleted, truncated, "loader/loader.conf", entry):
        assert name in said, said
    assert not found["ok"]
    shop.run("pvefw boot refresh && pvefw boot status --quiet")


def test_a_loader_that_secure_boot_will_refuse_is_reported(shop):
    variables, name = "/sys/firmware/efi/efivars", "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    shop.run(f"mkdir /run/on && cd {variables} && for each in *; do cat $each >/run/on/$each; done")
    shop.run(f"printf '\\6\\0\\0\\0\\1' >/run/on/{name} && mount --bind /run/on {variables}")

    found = status(shop)
    warned = shop.run("pvefw boot refresh")
    shop.run(f"umount {variables}")

    images = "EFI/BOOT/BOOTX64.EFI, EFI/systemd/systemd-bootx64.efi"
    for esp in found["esps"]:
        [said] = esp["problems"]
        assert f"will not start {images}: it is not signed;" in said
        assert said in " ".join(warned.split())
    assert found["problems"] == []  # Debian's kernels are signed
    shop.run("pvefw boot status --quiet")


def test_a_kernel_of_another_tool_stays_until_it_is_taken_over(shop, kernels):
    kept, name = f"EFI/proxmox/{kernels[0].version}", "6.0.1-1-gone"
    shop.run(
        on_esp(
            ONE,
            f"cp -r {kept} EFI/proxmox/{name} && cd EFI/proxmox/{name} && "
            f"mv vmlinuz-* vmlinuz-{name} && mv initrd.img-* initrd.img-{name}",
        )
    )

    shop.run("pvefw boot refresh")
    assert name in shop.run(on_esp(ONE, "ls -R EFI/proxmox"))

    shop.run("pvefw boot refresh --take-over")
    assert name not in shop.run(on_esp(ONE, "ls -R EFI/proxmox"))


def test_a_disk_that_is_gone_is_an_error_and_the_other_is_served(shop, kernels):
    version = kernels[-1].version
    shop.run(
        """
        disk=$(readlink -f /sys/block/vdb/device/..)
        echo 1 >$disk/remove
        udevadm settle
        pvefw boot kernel add """
        + version
    )

    found = status(shop)
    said = shop.fail("pvefw boot refresh")

    assert sorted(esp["state"] for esp in found["esps"]) == ["drift", "missing"]
    assert "pvefw boot clean" in said
    assert version in shop.run(on_esp(ONE, "ls -R EFI/proxmox"))
    shop.run("echo 1 >/sys/bus/pci/rescan; udevadm settle; pvefw boot refresh")
    assert version in shop.run(on_esp(OTHER, "ls -R EFI/proxmox"))
    shop.run(f"pvefw boot kernel remove {version}; pvefw boot refresh")


def test_clean_forgets_what_is_not_there(shop):
    shop.run("echo ABCD-1234 >>/etc/kernel/proxmox-boot-uuids")

    assert "pvefw boot clean" in shop.fail("pvefw boot refresh")
    assert "ABCD-1234" in shop.run("pvefw boot clean --dry-run")
    assert "ABCD-1234" in shop.run("pvefw boot clean")

    assert "ABCD-1234" not in shop.run("cat /etc/kernel/proxmox-boot-uuids")


def test_a_write_protected_esp_is_an_error_and_the_other_is_served(shop, kernels):
    shop.run(f"echo 2 >>/boot/initrd.img-{kernels[0].version}; blockdev --setro {OTHER}")

    said = shop.fail("pvefw boot refresh")

    assert "vdb2" in said
    assert "write-protected" in said
    shop.run(
        on_esp(
            ONE,
            f"cmp /boot/initrd.img-{kernels[0].version} "
            f"$(find . -name initrd.img-{kernels[0].version})",
        )
    )
    shop.run(f"blockdev --setrw {OTHER}; pvefw boot refresh")


def test_an_esp_that_is_too_small_is_refused_before_the_first_write(shop, kernels):
    initrd = f"/boot/initrd.img-{kernels[0].version}"
    shop.run(f"mv {initrd} /boot/kept; truncate --size 600M {initrd}")
    before = written(shop)

    said = shop.fail("pvefw boot refresh")

    numbers = (
        r"too small: the refresh needs 60\d\.\d MiB, and \d+\.\d MiB of 5\d\d\.\d MiB are free"
    )
    assert re.search(numbers, " ".join(said.split())), said
    assert written(shop) == before
    shop.run(f"mv /boot/kept {initrd}; pvefw boot refresh")


@pytest.mark.parametrize(
    ("prepare", "command", "why"),
    [
        ("", "format /dev/vda --force", "not a partition"),
        ("", "format /dev/vda1 --force", "too small"),
        ("", "format /dev/vda2", "file system on it already"),
        ("mount -t vfat /dev/vda2 /mnt", "format /dev/vda2 --force", "mounted on /mnt"),
        (
            "dmsetup create user --table '0 2048 linear /dev/vda3 0'",
            "format /dev/vda3 --force",
            "in use",
        ),
        ("", "partition /dev/vda", "partition table"),
    ],
)
def test_what_must_not_be_lost_is_refused(shop, prepare, command, why):
    is_refused(shop, prepare, command, why)


@uses("night")  # the same refusals for other reasons; tests/boot has each
@pytest.mark.parametrize(
    ("prepare", "command", "why"),
    [
        ("", "format /dev/vda3", "not an EFI system partition"),
        ("mount -t vfat /dev/vda2 /mnt", "partition /dev/vda --force", "mounted on /mnt"),
        ("", "partition /dev/vda2", "not a disk"),
        ("", "format /dev/vdz2", "no such block device"),
    ],
)
def test_what_makes_no_sense_is_refused(shop, prepare, command, why):
    is_refused(shop, prepare, command, why)


def is_refused(shop, prepare, command, why):
    before = written(shop)
    shop.run(prepare or "true")

    said = shop.run(f"pvefw boot {command} --yes && exit 1; [ $? -lt 3 ]")

    shop.run("umount /mnt; dmsetup remove user; true")
    assert why in said
    if "mount" not in prepare:
        assert written(shop) == before


def test_who_is_asked_can_say_no(shop):
    before = written(shop)
    ask = "script --quiet --return --command 'pvefw boot {}' /dev/null <<<n && exit 1; true"

    assert "FAT32" in shop.run(ask.format("format /dev/vda2 --force"))
    assert "new GPT" in shop.run(ask.format("partition /dev/vda --force"))
    assert "--yes" in shop.run("pvefw boot format /dev/vda2 --force && exit 1; true")

    assert written(shop) == before


def test_a_grub_esp_beside_one_of_systemd_boot_is_reported(shop):
    """The last one: the ESPs stay as they are."""
    shop.run(f"pvefw boot format {OTHER} --force --yes")
    shop.fail(f"pvefw boot init {OTHER} grub")  # the one before is missing now
    shop.run("pvefw boot clean")

    found = status(shop)

    assert any("different boot loaders" in problem for problem in found["problems"])
    assert [esp["state"] for esp in found["esps"]] == ["ok", "ok"]

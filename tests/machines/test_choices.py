"""What an administrator chose elsewhere: in the firmware, in GRUB's own files. What does start then?"""

import pytest

pytestmark = pytest.mark.timeout(900)

_CHOOSE = r"""
{{ printf '\7\0\0\0'; printf '%s\0' {} | iconv -t UTF-16LE; }} >/run/value
cat /run/value >/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
"""
"""As somebody who presses ``d`` in the menu; bootctl(1) does it only where systemd-boot was started."""
_PROTECT = r"""
cat >>/etc/grub.d/40_custom <<'END'
set superusers="root"
password root secret
END
sed -i 's/^CLASS="\(.*\)"$/CLASS="\1 --unrestricted"/' /etc/grub.d/10_linux
mkdir -p /boot/grub
echo 'set default=0' >/boot/grub/custom.cfg
"""


@pytest.mark.xdist_group("systemd-boot")
def test_a_default_chosen_in_the_firmware_is_told_and_taken_away(hosts, kernels, tmp_path):
    newest, older = kernels[0].version, kernels[1].version  # the oldest is not on the ESPs
    computer = hosts("systemd-boot").default.copy(tmp_path / "computer")
    with computer.workshop() as shop:

        def state(name):
            shop.run("sync")
            with shop.frozen():
                return computer.copy(tmp_path / name)

        shop.run(_CHOOSE.format(f"proxmox-{older}.conf"))
        said = shop.fail("pvefw boot status")
        assert f"LoaderEntryDefault names proxmox-{older}.conf" in said
        assert f"default: {older}" in said
        chosen = state("chosen")
        shop.run("pvefw boot refresh --take-over && pvefw boot status --quiet")
        taken = state("taken")

    assert chosen.power_on().kernels == [older]
    assert taken.power_on().kernels == [newest]


@pytest.mark.xdist_group("grub")
def test_grub_starts_what_status_names(hosts, kernels, tmp_path):
    """A default by number, through a submenu and without one; and a pin, which comes before that of a
    ``custom.cfg``, in a menu with a password that nobody has to type.
    """
    middle, oldest = kernels[1].version, kernels[2].version
    computer = hosts("grub").default.copy(tmp_path / "computer")
    chosen = []
    with computer.workshop() as shop:

        def choose(script, default):
            shop.run(f"set -e\n{script}\npvefw boot refresh")
            assert f"default: {default}" in shop.run("pvefw boot status")
            shop.run("sync")
            with shop.frozen():
                chosen.append((computer.copy(tmp_path / str(len(chosen))), default))

        # each kernel has two entries, with the one for its recovery
        by_number = """echo '{}' >>/etc/default/grub""".format
        shop.run(f"pvefw boot kernel add {oldest}")
        choose(by_number('GRUB_DEFAULT="1>4"'), oldest)
        choose(by_number("GRUB_DEFAULT=2\nGRUB_DISABLE_SUBMENU=y"), middle)
        choose(f"{_PROTECT}\npvefw boot kernel pin {oldest}", oldest)

    for machine, default in chosen:
        assert machine.with_bios().power_on().kernels == [default]

"""A host that lives, under a real systemd: it gets our package, works with it, gets the next, loses it.

The package has pvefw's own code, units and maintainer scripts; libraries of others are those of the
tests. What takes a firmware, kernels and disks is in tests/machines.
"""

import importlib
import shutil
import sysconfig

import pytest
from certificates import self_signed
from environments import ROOT
from resources import uses
from servers.systemd import missing, systemd_host
from waiting import wait_until

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("packages"),
]
FIRES_NOW = r"""
mkdir -p /run/systemd/system/pvefw-renew.timer.d
printf '[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=1us\n' \
    >/run/systemd/system/pvefw-renew.timer.d/now.conf
systemctl daemon-reload
systemctl restart pvefw-renew.timer
"""
PATIENCE = 120.0
"""Seconds; it takes three."""
STOPS = "pvefw-guests-stop.service"
STATE = "/var/lib/pvefw/boot/esp-AAAA-0001.json"
LOCK = "/run/pvefw/locks/boot.lock"


@pytest.fixture(scope="module")
def deb():
    """The tool that makes the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        patch.setenv("DPKG_DEB_COMPRESSOR_LEVEL", "0")
        yield importlib.import_module("deb")


def pack(deb, folder, version):
    """Our package, with the code of this checkout."""
    tree = folder / version
    for code in (ROOT / "pvefw", *(ROOT / "plugins").glob("*/src/*")):
        if code.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(code, tree / deb.LIBRARY / code.name, ignore=ignored)
    libraries = sysconfig.get_path("purelib").lstrip("/")
    program = deb.launcher("pvefw.cli", "main", libraries)
    deb.write(tree / deb.PROGRAM.lstrip("/"), program, 0o755)
    for name, text in deb.unit_texts().items():
        deb.write(tree / "usr/lib/systemd/system" / name, text)
    control = (deb.DEBIAN / "control").read_text().replace("{version}", version)
    return deb.pack(tree, control, deb.scripts(), folder)


@pytest.fixture(scope="module")
@uses("server")
def host(deb, tmp_path_factory):
    """A host with our package; the tests are its life, one after the other."""
    folder = tmp_path_factory.mktemp("living")
    with systemd_host(folder / "host", "living") as made:
        (made.files / "srv").mkdir()
        for version in ("1", "2"):
            pack(deb, folder, version).rename(made.files / f"srv/{version}.deb")
        assert made.boot() == "running"
        made.run("dpkg", "--force-depends", "--install", "/srv/1.deb")
        yield made


def shown(host, unit, *properties):
    asked = [f"--property={property_}" for property_ in properties]
    return host.run("systemctl", "show", "--value", *asked, unit).split()


def test_the_timer_fires_and_what_it_starts_ends_well(host):
    assert shown(host, "pvefw-renew.timer", "ActiveState", "UnitFileState") == ["active", "enabled"]

    host.run("sh", "-ec", FIRES_NOW)

    def ended():
        return shown(host, "pvefw-renew.service", "ExecMainExitTimestampMonotonic") != ["0"]

    wait_until(ended, "the timer fires", PATIENCE)
    host.run("rm", "-r", "/run/systemd/system/pvefw-renew.timer.d")
    said = host.run("journalctl", "-u", "pvefw-renew.service", "-o", "cat")
    assert shown(host, "pvefw-renew.service", "Result", "ExecMainStatus") == ["success", "0"], said
    warnings = host.run("journalctl", "-u", "pvefw-renew.service", "-p", "warning", "-o", "cat")
    assert "<" not in said + warnings
    assert not [line for line in warnings.splitlines() if "warning" not in line.lower()]


def test_a_task_goes_on_while_its_program_is_replaced(host):
    host.run("mkdir", "-p", "/run/pvefw/locks")
    host.run("systemd-run", "--unit=holder", "flock", LOCK, "sleep", "infinity")
    wait_until(lambda: host.try_("flock", "-n", LOCK, "true").returncode, "it is locked", PATIENCE)
    host.run("systemd-run", "--unit=task", "--remain-after-exit", "pvefw", "boot", "refresh")
    (pid,) = shown(host, "task", "MainPID")
    opened = ["find", f"/proc/{pid}/fd", "-lname", LOCK]
    wait_until(lambda: host.try_(*opened).stdout, "the task waits", PATIENCE)

    host.run("dpkg", "--force-depends", "--install", "/srv/2.deb")

    assert shown(host, "task", "SubState") == ["running"]
    host.run("systemctl", "stop", "holder")
    wait_until(lambda: shown(host, "task", "SubState") != ["running"], "the task ends", PATIENCE)
    assert shown(host, "task", "Result", "ExecMainStatus") == ["success", "0"], journal(host)
    assert "nothing to do" in journal(host)
    assert shown(host, "pvefw-renew.timer", "ActiveState", "UnitFileState") == ["active", "enabled"]
    assert host.run("dpkg-query", "--show", "--showformat=${Version}", "pvefw") == "2"


def journal(host):
    return host.run("journalctl", "-u", "task", "-o", "cat")


STORE_UNIT = "pvefw-store.service"
NODES = {"living": [], "other": ["--root", "/srv/other", "--node", "other"]}
SHARES = "store: etcd\\nendpoints: http://127.0.0.1:2379\\n"


def test_a_shared_certificate_arrives_while_the_unit_runs(host):
    """From another node, through a real etcd; not while the unit is stopped, and then at its start."""
    host.run("systemd-run", "--unit=store", "etcd", "--data-dir=/var/tmp/store")
    wait_until(lambda: host.try_("etcdctl", "get", "a").returncode == 0, "etcd answers", PATIENCE)
    for name, where in NODES.items():
        folder = "/etc/pvefw" if name == "living" else "/srv/other/etc/pvefw"
        host.run("mkdir", "-p", folder)
        host.run("sh", "-c", f"printf '{SHARES}' >{folder}/store.cfg")
        host.run("pvefw", *where, "store", "join")
        wanted = ["--acmedomain0", "gui.example", "--reload-command", "-"]
        host.run("pvefw", *where, "config", "set", *wanted)
    assert shown(host, STORE_UNIT, "ActiveState", "UnitFileState") == ["active", "enabled"]

    first = install_elsewhere(host, 3)
    wait_until(lambda: certificate(host) == first, "it arrives", PATIENCE)
    host.run("systemctl", "stop", STORE_UNIT)
    assert shown(host, STORE_UNIT, "Result", "ActiveState") == ["success", "inactive"]
    second = install_elsewhere(host, 2)
    assert certificate(host) == first
    host.run("systemctl", "start", STORE_UNIT)
    wait_until(lambda: certificate(host) == second, "it arrives", PATIENCE)
    third = install_elsewhere(host, 1)
    wait_until(lambda: certificate(host) == third, "it arrives", PATIENCE)
    said = host.run("journalctl", "-u", STORE_UNIT, "-o", "cat")
    assert said.count("Node other has this certificate already; taking it over") == 3, said
    assert host.failed_units() == []


def install_elsewhere(host, age):
    """Let the other node have a certificate that began these days ago."""
    made, _ = install(host, "other", age)
    return made


def install(host, node, age):
    """Let a node have a certificate that began these days ago, and say what that command said."""
    pair = self_signed("gui.example", begin=-age)
    for name, text in zip(("pem", "key"), pair, strict=True):
        host.run("sh", "-c", f"printf %s '{text.decode()}' >/srv/new.{name}")
    command = ["cert", "set", "/srv/new.pem", "/srv/new.key", "--force", "--restart"]
    done = host.try_("pvefw", *NODES[node], *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return pair[0].decode(), done.stdout + done.stderr


def certificate(host):
    """What this node has."""
    return host.try_("cat", "/etc/pve/nodes/living/pveproxy-ssl.pem").stdout


WEB = r"[Service]\nExecStart=sleep infinity\nExecReload=touch /run/reloaded\n"
STOPPED = "web is stopped; it reads the certificate when it starts"


def test_a_service_that_is_stopped_is_no_failure_at_a_renewal(host):
    host.run("sh", "-c", f"printf '{WEB}' >/run/systemd/system/web.service")
    host.run("systemctl", "daemon-reload")
    host.run("pvefw", "config", "set", "--reload-command", "systemctl reload web")
    _, said = install(host, "living", 0)
    assert STOPPED in said
    assert "WARN" not in said
    assert "web" not in host.run("pvefw", "renew")

    host.run("systemctl", "start", "web")
    _, said = install(host, "living", 0)
    assert STOPPED not in said
    host.run("test", "-e", "/run/reloaded")

    host.run("pvefw", "config", "set", "--reload-command", "systemctl reload wbe")
    _, said = install(host, "living", 0)
    assert "the service does not use it yet" in said
    assert "stopped" not in said
    host.try_("systemd-run", "--wait", "--collect", "--unit=again", "pvefw", "renew")
    warnings = host.run("journalctl", "-u", "again", "-p", "warning", "-o", "cat")
    assert "the service does not use it yet" in warnings
    host.run("pvefw", "config", "set", "--reload-command", "-")


def test_removal_leaves_nothing_that_would_start_it(host):
    host.run("pvefw", "boot", "install-hooks")
    host.run("pvefw", "install-units")
    host.run("install", "-D", "/dev/null", STATE)
    assert left(host)

    done = host.try_("dpkg", "--remove", "pvefw")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "new kernels and boot loaders reach no ESP any more" in done.stderr
    assert "no guest is shut down any more" in done.stderr  # this unit was active, and stays so
    assert left(host) == []
    units = host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "pvefw*")
    assert [line.split()[:3] for line in units.splitlines()] == [[STOPS, "not-found", "active"]]
    assert shown(host, STOPS, "ExecStop") == []
    assert host.failed_units() == []
    host.run("test", "-e", STATE)
    host.run("dpkg", "--purge", "pvefw")
    assert host.try_("test", "-e", STATE).returncode == 1
    host.power_off()
    assert host.boot() == "running"
    assert "pvefw" not in host.run("journalctl", "-b", "-p", "warning", "-o", "cat")


def left(host):
    """What of ours is where systemd, kernels' packages and apt look for it."""
    places = ["/etc/systemd", "/usr/lib/systemd", "/etc/kernel", "/etc/apt"]
    places += ["/etc/initramfs", "/etc/sysusers.d", "/usr/bin"]
    there = [place for place in places if host.try_("test", "-e", place).returncode == 0]
    return host.run("find", *there, "-name", "*pvefw*").splitlines()

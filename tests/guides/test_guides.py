"""The guides, typed word for word in prepared trees: what they show is what is printed."""

import os
import sys
import threading
import time
from pathlib import Path

import certificates
import pytest
from boot.conftest import HostTree
from environments import ROOT
from guides.reader import Reader
from privileges import only_root
from servers.bootctl import write_bootctl
from servers.directory_machine import DirectoryMachine
from servers.libvirt import libvirt_nodes
from waiting import wait_until
from whole_host import Host

from pvefw.store import files
from pvefw.store.paths import Paths

HERE = Path(__file__).parent

KSM = {
    "run": 1,
    "pages_shared": 16401,
    "pages_sharing": 19512,
    "pages_unshared": 965,
    "pages_volatile": 2207,
    "ksm_zero_pages": 0,
    "full_scans": 7,
    "pages_to_scan": 20000,
    "sleep_millisecs": 20,
    "general_profit": 77418496,
}
VZDUMP = """\
INFO: starting new backup job: vzdump 100
ERROR: Backup of VM 100 failed - no space left on device
INFO: Backup job finished with errors
TASK ERROR: job errors
"""


@pytest.fixture
def write(paths):
    """Write a file of the tree."""

    def do(name, text):
        path = paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return do


@pytest.fixture
def reads(tmp_path):
    """Follows a page of the documentation."""

    def do(name, **options):
        Reader(ROOT / name, tmp_path, **options).read()

    return do


@only_root("makes networks")
def test_the_node(reads, write, paths):
    write("etc/pve/.members", '{"nodelist": {"pve2": {"id": 2, "online": 0, "ip": "10.10.1.2"}}}')
    for name, figure in KSM.items():
        write(f"sys/kernel/mm/ksm/{name}", f"{figure}\n")
    now = int(time.time())
    task = f"UPID:pve1:00010D94:001CA6EA:{now - 3600:08X}:vzdump:101:root@pam:"
    write("var/log/pve/tasks/index", f"{task} {now - 3000:08X} job errors\n")
    write("etc/kernel/proxmox-boot-uuids", "5678-EF01\n")
    write("etc/kernel/proxmox-boot-pin", "6.8.4-2-pve\n")
    write("etc/cron.d/pvefw", "0 3 * * * root pvefw renew\n")
    put_certificate(paths)
    reads(
        "docs/node.md",
        before=["unshare", "--net"],
        prepared="""
            ip link set dev lo up
            ip link add vmbr1 type veth peer name far1
            ip address add 10.10.1.1/24 broadcast + dev vmbr1
            ip address add 10.10.1.2/32 dev lo
            ip link set dev vmbr1 up
            ip link set dev far1 up
            python -m http.server --bind 10.10.1.2 8006 & trap "kill $!" EXIT
        """,
        leaves_out={
            "pvefw ksm disable": "no page of a file is shared; tests/node asks a kernel",
            "pvefw status --hosts": "hosts are asked in tests/node",
        },
        fails=("pvefw status",),
    )


def test_tasks(reads, write, paths):
    folder = "var/log/pve/tasks"
    ended = {
        "UPID:pve1:00010D94:001CA6EA:6A135F01:vzdump:100:root@pam:": (
            "6A136009 job errors",
            VZDUMP,
        ),
        "UPID:pve1:00010E10:001CB001:6A136100:qmstart:100:admin@pve:": ("6A136103 OK", "TASK OK\n"),
        "UPID:pve1:00001349:00069F4E:6B060FE0:certnode::root@pam:": ("6B060FE1 OK", "TASK OK\n"),
    }
    write(f"{folder}/index", "".join(f"{upid} {end}\n" for upid, (end, _) in ended.items()))
    for upid, (_, log) in ended.items():
        write(f"{folder}/{upid.split(':')[4][-1]}/{upid}", log)
    killed = "UPID:pve1:00001433:00069FC3:6B060FE1:startall::root@pam:"
    log = write(f"{folder}/1/{killed}", "100 (web0): starting\n")
    os.utime(log, (0x6B060FE1, 0x6B060FE1))
    write(f"{folder}/active", f"{killed} 0\n")
    detached = "it goes on after the page has been read: tests/tasks/test_detached.py"
    reads(
        "docs/tasks.md",
        env={"TZ": "UTC"},
        leaves_out={"pvefw acme cert order --detach": detached},
    )


def test_wanted_state(reads, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    page = (ROOT / "docs/wanted-state.md").read_text()
    (folder / "node.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    reads("docs/wanted-state.md", fails=("pvefw apply node.yaml --check",))


_IMAGE = ("truncate", "losetup", "mkdir -p try", "cp ", "pvefw --root try")
_DISKS = ("pvefw boot partition", "pvefw boot format", *_IMAGE)


@only_root("mounts file systems")
def test_boot(reads, paths, tmp_path):
    HostTree(paths.root)
    (paths.root / "sys/firmware/efi").mkdir()
    machine = DirectoryMachine(tmp_path / "esps")
    for uuid in ("D363-2CED", "D3B4-5C44"):
        machine.add(uuid)
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\7" * 6)
    (tmp_path / "bin").mkdir()
    write_bootctl(tmp_path / "bin", tmp_path / "folder")
    pvefw = tmp_path / "bin/pvefw"
    pvefw.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "boot_host.py"} {tmp_path} "$@"\n')
    pvefw.chmod(0o755)
    drifted = f"""
        pvefw boot init /dev/sdb2
        rm {tmp_path}/esps/D363-2CED/loader/entries/proxmox-6.8.12-4-pve.conf
    """
    reads(
        "docs/boot.md",
        meanwhile=[("pvefw boot status", drifted)],
        leaves_out=dict.fromkeys(_DISKS, "disks are partitioned and formatted in tests/machines"),
        fails=("pvefw boot status",),
    )


def test_guests(reads, write, paths):
    with libvirt_nodes("n1", "n2") as (here, there):
        there.pool()
        sockets = f"{here.base}/{{node}}/run/libvirt/libvirt-sock"
        write(
            "etc/pve/pvefw.cfg",
            f"guest: libvirt\n\turi {here.uri}\n"
            f"\ttarget_uri qemu+unix:///session?socket={sockets}\n"
            f"\ttransfer_uri tcp://127.0.0.1\n\tshared {here.base}/shared\n",
        )
        host = Host(paths.root, node="n1")

        def guests_are_made():
            for names in (["db", "web0", "web1"], ["mail"], ["big"]):
                for name in names:
                    here.define(name, deaf=name == "mail", local=name == "big")
                host.run("guest", "list")  # gives them their numbers, before the next are there
            for vmid, order in ((100, 1), (101, 2), (102, 2)):
                host.run("guest", "set", vmid, "--onboot", 1, "--order", order, "--up", 0)

        def mail_runs():
            host.run("startall", "--vms", 103, "--force")
            here.wait_until_booted("web1", "mail")

        reads(
            "docs/guests.md",
            env={"PVEFW_NODE": "n1"},
            meanwhile=[
                ("pvefw guest list", guests_are_made),
                ("pvefw stopall", mail_runs),
                ("pvefw startall", lambda: db_will_die(host, here)),
                ("pvefw startall --dry-run", lambda: nothing_runs(host)),
                ("pvefw migrateall", lambda: everything_runs(host, here)),
            ],
            leaves_out={
                "pvefw migrateall n2 --vms 104": "it takes its time; the plugin's own tests move a disk"
            },
            called={f"{here.base}/local": "/var/lib/libvirt/images"},
            any_order=("pvefw startall", "pvefw stopall", "pvefw migrateall"),
        )


def db_will_die(host, node):
    """The next start: db lives until the task says that it has started."""
    host.run("stopall", "--timeout", 1)
    host.run("guest", "set", 100, "--up", 60)
    host.run("guest", "set", 102, "--delete", "order")
    before = set(host.paths.task_dir.glob("*/UPID:*:startall:*"))

    def started():
        logs = set(host.paths.task_dir.glob("*/UPID:*:startall:*")) - before
        return any("100 (db): started" in log.read_text() for log in logs)

    def kill():
        wait_until(started, "db starts")
        node.kill_guest("db")

    threading.Thread(target=kill, daemon=True).start()


def nothing_runs(host):
    host.run("stopall", "--timeout", 1)
    host.run("guest", "set", 100, "--up", 5)
    host.run("guest", "set", 102, "--order", 2)
    host.run("guest", "set", 103, "--onboot", 1, "--after", 999)


def everything_runs(host, node):
    host.run("guest", "set", 103, "--delete", "after")
    host.run("guest", "set", 101, "--delete", "after")
    for vmid in (100, 103, 104):
        host.run("guest", "set", vmid, "--up", 0)
    host.run("startall", "--force")
    node.wait_until_booted("db", "web0", "web1")


def test_questions(reads, farm):
    for vmid in (100, 101):
        farm.guest(vmid)
    reads("docs/faq.md", env={"PYTHONPATH": str(farm.site)})


def test_moving(reads, write):
    write("etc/pve/nodes/pve1/config", "acme: domains=pve1.example.com\n")
    write("etc/pve/priv/acme/plugins.cfg", "standalone: standalone\n\ndns: mine\n\tapi cf\n")
    asks = {
        "pvefw acme account import": "it asks an authority: tests/whole/test_moved.py",
        "pvefw cert import www": "it needs that account: tests/whole/test_moved.py",
    }
    write("etc/letsencrypt/renewal/README", "")
    reads("docs/moving.md", fails=("pvefw boot status",), leaves_out=asks)  # there is no ESP


def test_backup_and_restore(reads, write, paths):
    write("etc/kernel/proxmox-boot-uuids", "")
    write("etc/pvefw/nodes/pve1/www.key", "a key")
    lost = f"rm -r {paths.root}/etc {paths.root}/var/lib"
    asks = dict.fromkeys(["pvefw boot", "pvefw renew", "pvefw status", "pvefw plugin", "pipx"], "-")
    reads(
        "docs/backup.md",
        prepared="pvefw config set -description 'before the move'; pvefw cert ca init",
        meanwhile=[("tar --extract", lost)],
        leaves_out=asks,
    )
    assert paths.certificate_files("www").key.read_text() == "a key"


def test_what_stays(reads, tmp_path):
    info = tmp_path / "site/dist_acme-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-acme\nVersion: 1.5\nRequires-Dist: pvefw>=2,<3\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.dns]\nacme = dist_acme:Acme\n")
    reads("docs/compatibility.md", env={"PYTHONPATH": str(tmp_path / "site")})


@pytest.mark.parametrize("plugin", ["standalone", "dns_lexicon", "dns_ovh"])
def test_readmes_of_challenges(reads, tmp_path, plugin):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/FILE").write_text("OVH_AK=0123456789abcdef\nOVH_AS=0123456789abcdef\n")
    reads(
        f"plugins/acme_{plugin}/README.md",
        leaves_out=dict.fromkeys(_ASKS[plugin], "a provider or an authority would be asked"),
    )


_ASKS = {
    "standalone": [],
    "dns_lexicon": ["pvefw dns test", "pvefw acme cert order"],
    "dns_ovh": ["pvefw acme plugin login", "pvefw dns test", "pvefw acme cert order"],
}


def test_readme_of_scripts(reads, write, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/FILE").write_text("HETZNER_TOKEN=0123456789abcdef\n")
    write(
        "usr/share/acme.sh/dnsapi/dns_hetznercloud.sh",
        "dns_hetznercloud_info='Hetzner\nOptions:\n HETZNER_TOKEN API token\n'\n"
        'dns_hetznercloud_add() { [ "$HETZNER_TOKEN" ]; }\ndns_hetznercloud_rm() { return 0; }\n',
    )
    reads("plugins/acme_dns_generic/README.md")


def test_readme_of_observers(reads, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/FILE").write_text("program=/bin/true\n")
    reads("plugins/observer_generic/README.md")


def test_readme_of_targets(reads, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/FILE").touch()
    asks = {"pvefw acme cert order": "it asks an authority"}
    reads("plugins/observer_targets/README.md", leaves_out=asks)


def test_several_services(reads, paths):
    """Nothing is ordered; one certificate is as if it had been."""

    def ordered():
        pem, key = certificates.self_signed("www.example.com", begin=0)
        files = paths.certificate_files("www")
        files.certificate.parent.mkdir(parents=True, exist_ok=True)
        files.certificate.write_bytes(pem)
        files.key.write_bytes(key)

    asks = {"pvefw acme cert order": "it asks an authority"}
    reads(
        "docs/services.md",
        meanwhile=[("pvefw cert deploy www --dry-run", ordered)],
        leaves_out=asks,
        fails=("pvefw status",),
    )


_HAVE_PAGES = (
    "startall",
    "stopall",
    "migrateall",
    "boot",
    "wakeonlan",
    "ksm",
    "task log",
    "task status",
)


def test_the_administrators_guide(reads, tmp_path):
    """Its tree is the one that it tells the reader to make."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "FILE").write_text("server=192.0.2.1\n")
    (folder / "api-token").write_text(
        f"OVH_AK={'0123456789abcdef'}\nOVH_AS={'0123456789abcdef' * 2}\n"
    )

    def has_a_certificate():
        put_certificate(Paths(folder / "try", "pve1"))

    asks = dict.fromkeys(
        [
            "pvefw acme account register",
            "pvefw acme cert order",
            "pvefw acme persist",
            "pvefw cert deploy web",
            "pvefw config set --fallback-account",
            "pvefw dns test",
        ],
        "it asks an authority or a provider",
    )
    elsewhere = dict.fromkeys(
        [f"pvefw {page}" for page in _HAVE_PAGES],
        "the page of its own is tried",
    )
    needs = dict.fromkeys(
        ["pvefw cert set", "pvefw renew install-timer", "pvefw observer test"],
        "it needs files, systemd or a mail server",
    )
    reads(
        "docs/admin.md",
        meanwhile=[
            ("pvefw cert ca rollover", "pvefw cert ca init && pvefw cert node refresh"),
            ("pvefw renew --dry-run", has_a_certificate),
        ],
        leaves_out={**asks, **elsewhere, **needs},
        fails=("pvefw status",),  # no timer is installed
    )


def put_certificate(paths):
    """A new certificate for pve1.example.com, as an authority issued it."""
    pem, key = certificates.self_signed("pve1.example.com", begin=0)
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)

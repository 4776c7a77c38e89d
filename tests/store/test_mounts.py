"""Where pmxcfs should be mounted and is not, nothing is read or written below its mount point."""

import errno
import os
import sys

import click
import pytest
from certificates import self_signed

from pvefw.cli.groups import PVEFW
from pvefw.cli.run import run
from pvefw.core.errors import StoreError
from pvefw.host import foreign
from pvefw.store import accounts, files, locks, node_settings
from pvefw.store.node import Node

SENTENCE = "the cluster file system is not mounted"


@pytest.fixture
def unmounted(paths):
    """A host of Proxmox VE's whose cluster file system is not mounted."""
    database = paths.below("var/lib/pve-cluster/config.db")
    database.parent.mkdir(parents=True)
    database.touch()
    paths.etc_pve.mkdir(parents=True)
    return paths


def everything_below(directory):
    return sorted(directory.rglob("*"))


@pytest.mark.parametrize(
    "use",
    [
        lambda paths: files.replace(paths.proxy_certificate, b"x"),
        lambda paths: files.remove(paths.proxy_certificate),
        lambda paths: files.rename(paths.root / "x", paths.proxy_key),
        lambda paths: files.read_if_exists(paths.plugins_cfg),
        lambda paths: files.check_writable(paths.node_dir()),
        lambda paths: node_settings.change(paths, {"key-type": "ec384"}),
        lambda paths: locks.cluster_lock(paths, "any").__enter__(),
        accounts.names,
        Node.open,
    ],
)
def test_whatever_uses_it_says_so_and_writes_nothing(unmounted, use):
    with pytest.raises(StoreError, match=SENTENCE) as caught:
        use(unmounted)
    assert "systemctl" in caught.value.hint
    assert everything_below(unmounted.etc_pve) == []


def test_once_it_is_mounted_all_is_well(unmounted):
    (unmounted.etc_pve / ".version").touch()
    node_settings.change(unmounted, {"ballooning-target": "70"})
    assert Node.open(unmounted).get("ballooning-target") == "70"


def test_a_host_without_proxmox_ve_needs_no_mount(paths):
    node_settings.change(paths, {"ballooning-target": "70"})


def test_what_lies_elsewhere_needs_no_mount(unmounted):
    files.replace(unmounted.renewal_state, b"{}")


# --- every command ----------------------------------------------------------------------------------

ELSEWHERE, READS, WRITES = "elsewhere", "reads", "writes"
WAIT = ("boot-guests", "startall")
"""For quorum, and for as long as it takes: tests/whole/test_cluster.py."""
"""What a command uses of the cluster's files: nothing that it cannot do without, or which way."""
COMMANDS = {
    "acme account deactivate": WRITES,
    "acme account import new --from .": ELSEWHERE,  # nothing is there to be taken over
    "acme account info": READS,
    "acme account list": READS,
    "acme account register": WRITES,
    "acme account rollover": WRITES,
    "acme account update": WRITES,
    "acme catalog config acmesh": READS,
    "acme catalog list": READS,
    "acme catalog remove acmesh": WRITES,
    "acme catalog set acmesh --nodes pve1": WRITES,
    "acme catalog test acmesh": READS,
    "acme cert order --force": WRITES,
    "acme cert renew --force": WRITES,
    "acme cert revoke": WRITES,
    "acme directory list": ELSEWHERE,
    "acme persist check a.example.com": READS,
    "acme persist publish a.example.com --plugin web": READS,
    "acme persist remove a.example.com": ELSEWHERE,
    "acme persist show a.example.com": READS,
    "acme plugin add dns new --api ovh --data FILE": WRITES,
    "acme plugin config web": READS,
    "acme plugin list": READS,
    "acme plugin login web": READS,
    "acme plugin remove web": WRITES,
    "acme plugin set web --disable": WRITES,
    "acme plugin test web": READS,
    "api helper --help": ELSEWHERE,  # what it does would not end; its calls are those of the table
    "api install-service": ELSEWHERE,
    "api serve --help": ELSEWHERE,
    "api token add root@pam a": WRITES,
    "api token remove root@pam a": WRITES,
    "api totp add root@pam": WRITES,
    "api totp remove root@pam": WRITES,
    "api user list": READS,
    "api user remove a@pam": WRITES,
    "api user set a@pam --grant /=Sys.Audit": WRITES,
    "api create /nodes/pve1/status": ELSEWHERE,
    "api delete /nodes/pve1/status": ELSEWHERE,
    "api get /nodes/pve1/config": READS,
    "api ls /nodes": ELSEWHERE,
    "api set /nodes/pve1/status": ELSEWHERE,
    "api usage /version": ELSEWHERE,
    "boot clean": ELSEWHERE,
    "boot cmdline get": ELSEWHERE,
    "boot cmdline set root=/dev/sda1": ELSEWHERE,
    "boot format /dev/none1": ELSEWHERE,
    "boot init /dev/none1": ELSEWHERE,
    "boot install-hooks": ELSEWHERE,
    "boot kernel add 6.8.0": ELSEWHERE,
    "boot kernel list": ELSEWHERE,
    "boot kernel pin 6.8.0": ELSEWHERE,
    "boot kernel remove 6.8.0": ELSEWHERE,
    "boot kernel unpin": ELSEWHERE,
    "boot loader": ELSEWHERE,
    "boot loader config grub": READS,
    "boot loader list": READS,
    "boot loader remove grub": WRITES,
    "boot loader set grub --nodes pve1": WRITES,
    "boot loader test grub": READS,
    "boot partition /dev/none": ELSEWHERE,
    "boot refresh": ELSEWHERE,
    "boot reinit": ELSEWHERE,
    "boot status": ELSEWHERE,
    "boot-guests": READS,
    "apply --export": READS,
    "cert add web --acmedomain0 a.example.com": WRITES,
    "cert ca init": WRITES,
    "cert ca rollover": WRITES,
    "cert check": READS,
    "cert delete": WRITES,
    "cert deploy": READS,
    "cert import --from .": ELSEWHERE,
    "cert info": READS,
    "cert node refresh": WRITES,
    "cert list": READS,
    "cert recover": ELSEWHERE,
    "cert remove none": READS,
    "cert set --force CERT KEY": WRITES,
    "completion bash": ELSEWHERE,
    "config get": READS,
    "config set --ballooning-target 71": WRITES,
    "dns cleanup": ELSEWHERE,
    "dns test web a.example.com": READS,
    "guest backend add new --api libvirt": WRITES,
    "guest backend config mine": READS,
    "guest backend list": READS,
    "guest backend remove mine": WRITES,
    "guest backend set mine --disable": WRITES,
    "guest backend test mine": READS,
    "guest list": READS,
    "guest set 100 --onboot 1": READS,
    "guest show 100": READS,
    "install-units": ELSEWHERE,
    "ksm disable": ELSEWHERE,
    "ksm enable": ELSEWHERE,
    "ksm status": ELSEWHERE,
    "ksm unmerge": ELSEWHERE,
    "metrics install-timer": ELSEWHERE,
    "metrics": ELSEWHERE,  # what cannot be found out is left out
    "migrateall pve2": READS,
    "node drain --to pve2": READS,
    "node maintain --resume": ELSEWHERE,
    "node return": READS,
    "node status": READS,
    "observer add new --api exec --data FILE": WRITES,
    "observer config told": READS,
    "observer list": READS,
    "observer remove told": WRITES,
    "observer set told --disable": WRITES,
    "observer test told": READS,
    "plugin doctor": ELSEWHERE,
    "plugin list": ELSEWHERE,
    "plugin new dns fresh": ELSEWHERE,
    "plugin search ovh": READS,
    "plugin show dns ovh": ELSEWHERE,
    "renew": WRITES,
    "renew install-timer": ELSEWHERE,
    "resumeall": READS,
    "shutdown-guests": READS,
    "startall": READS,
    "status": READS,
    "stopall": READS,
    "store join": ELSEWHERE,  # without store.cfg there is nothing to join, and nothing to watch
    "store watch": ELSEWHERE,
    "suspendall": READS,
    "task index": ELSEWHERE,
    "task list": ELSEWHERE,
    "task log NONE": ELSEWHERE,
    "task prune": ELSEWHERE,
    "task status NONE": ELSEWHERE,
    "task stop NONE": ELSEWHERE,
    "wakeonlan pve2": READS,
}


def all_commands(command=PVEFW, path=""):
    if not isinstance(command, click.Group):
        yield path
        return
    if path and command.invoke_without_command:
        yield path
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from all_commands(command.get_command(context, name), f"{path} {name}".strip())


def test_every_command_is_in_the_table():
    missing = [
        command
        for command in all_commands()
        if not any(f"{row} ".startswith(f"{command} ") for row in COMMANDS)
    ]
    assert missing == []


class Broken:
    """Lets the operating system refuse what is done below ``/etc/pve``."""

    def __init__(self):
        self.below = ""
        self.number = 0
        self.only_writes = False
        sys.addaudithook(self._heard)

    _CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "os.link")

    def _heard(self, event, arguments):
        if not self.below:
            return
        if event == "open":
            path, _, flags = arguments
            self.refuse(path, writes=bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        elif event in self._CHANGES:
            self.refuse(arguments[0], writes=True)
        elif event in ("os.listdir", "os.scandir"):
            self.refuse(arguments[0], writes=False)

    def refuse(self, path, *, writes):
        if isinstance(path, str | bytes | os.PathLike):
            text = os.fsdecode(path)
            if f"{text}/".startswith(self.below) and (writes or not self.only_writes):
                raise OSError(self.number, os.strerror(self.number), text)


BROKEN = Broken()


@pytest.fixture
def broken(monkeypatch):
    """Makes the operating system refuse from now on; files are there before."""
    stat = os.stat

    def checked(path, *args, **kwargs):
        BROKEN.below and BROKEN.refuse(path, writes=False)
        return stat(path, *args, **kwargs)

    def refusing(name):
        """Through a handle: what the audit events of its calls name is relative to it."""
        change = getattr(foreign.Directory, name)

        def changed(self, first, *rest):
            BROKEN.below and BROKEN.refuse(self.path / first, writes=True)
            return change(self, first, *rest)

        return changed

    def begin(paths, number, *, only_writes):
        BROKEN.number, BROKEN.only_writes = number, only_writes
        BROKEN.below = f"{paths.etc_pve}/"
        monkeypatch.setattr(os, "stat", checked)
        for name in ("make", "create", "rename", "remove", "remove_directory"):
            monkeypatch.setattr(foreign.Directory, name, refusing(name))

    yield begin
    BROKEN.below = ""


@pytest.fixture
def typed(paths, monkeypatch, tmp_path, capfd):
    """Runs a row of the table; its status and what it said."""
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)
    monkeypatch.chdir(tmp_path)
    certificate, key = self_signed()
    given = {"FILE": b"command=true\n", "CERT": certificate, "KEY": key}
    for name, data in given.items():
        (tmp_path / name).write_bytes(data)

    def type_(row):
        words = row.split()
        if row == "acme account register":
            words += ["new", "a@example.com", "--directory", "https://127.0.0.1:9/", "--accept-tos"]
        status = run([str(tmp_path / word) if word in given else word for word in words])
        said = capfd.readouterr()
        return status, said.out + said.err

    return type_


@pytest.fixture
def furnished(paths):
    """A node with an instance of each family, an account and a certificate."""
    files.replace(paths.plugins_cfg, b"dns: web\n\tapi ovh\n", private=True)
    files.replace(
        paths.cluster_pvefw_cfg, b"guest: mine\n\tapi libvirt\n\nobserver: told\n\tapi exec\n"
    )
    files.replace(paths.node_config(), b"acmedomain0: a.example.com\n")
    certificate, key = self_signed("a.example.com", days=1)
    files.replace(paths.proxy_certificate, certificate)
    files.replace(paths.proxy_key, key, private=True)
    paths.node_dir("pve2").mkdir()
    (paths.etc_pve / ".version").touch()
    return paths


@pytest.mark.parametrize("row", COMMANDS)
def test_not_mounted(unmounted, typed, row):
    status, said = typed(row)
    assert "internal error" not in said
    assert everything_below(unmounted.etc_pve) == []
    if COMMANDS[row] != ELSEWHERE:
        assert status == 1
        assert SENTENCE in said


@pytest.mark.parametrize("row", COMMANDS)
def test_its_process_has_died(furnished, typed, broken, row):
    broken(furnished, errno.ENOTCONN, only_writes=False)
    status, said = typed(row)
    assert "internal error" not in said
    if COMMANDS[row] != ELSEWHERE:
        assert status == 1
        assert SENTENCE in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a quorum to lose")
@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.EACCES, "no quorum"), (errno.EROFS, "The file system is read-only")],
)
@pytest.mark.parametrize(
    "row", [row for row, use in COMMANDS.items() if use != ELSEWHERE and row not in WAIT]
)
def test_without_quorum_or_read_only(furnished, typed, broken, row, number, sentence):
    before = {
        path: path.read_bytes() for path in everything_below(furnished.etc_pve) if path.is_file()
    }
    broken(furnished, number, only_writes=True)
    status, said = typed(row)
    BROKEN.below = ""
    assert "internal error" not in said
    assert "No such host" not in said
    after = {
        path: path.read_bytes() for path in everything_below(furnished.etc_pve) if path.is_file()
    }
    assert after == before
    if COMMANDS[row] == WRITES:
        assert status == 1
        assert sentence in said

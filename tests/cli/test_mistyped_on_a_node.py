"""Lines that a new administrator mistyped on a node that has something: cause, next step, and no task."""

import re
import shlex

import certificates
import pytest

from pvefw.cli.run import run
from pvefw.store import files
from pvefw.tasks import history

MISTYPED = {
    "renew -f": ("no option -f", "pvefw acme cert renew --force"),
    "boot status --esp": ("no option --esp", "Options: --quiet, --output-format."),
    "acme account": ("pvefw acme account: a command is missing", "register"),
    "dns test example.com corp": (
        "example.com is not a plugin instance, but corp is",
        "In this order: pvefw dns test corp example.com",
    ),
    "dns test crop example.com": ("there is no plugin instance crop", "There are: corp"),
    "boot init a.img": ("a.img is a file, not a block device", "losetup --find --partscan --show"),
    "boot init /dev/sdz9": ("/dev/sdz9: no such block device", "List them: lsblk"),
    "cert set b.key b.pem": ("b.key is a private key", "pvefw cert set b.pem b.key"),
    "cert set b.pem b.key": ("already exists", "--force"),
    "cert set www --serves www.example.com": (
        "'www.example.com' is not HOST:PORT, like www.example.com:443",
        "The format is: HOST:PORT",
    ),
    "cert set www --key-type dsa": ("key-type", "The format is: "),
    "cert delete nginx": ("there is no certificate nginx", "There are: pveproxy, www."),
    "cert remove nginx": ("there is no certificate nginx", "There are: www."),
    "observer remove nobody": ("there is no observer nobody", "There is none yet."),
    "acme plugin remove crop": ("there is no plugin instance crop", "There are: corp"),
    "observer add m2 --api mail": (
        "to is missing",
        "pvefw observer add m2 --api mail --data FILE",
    ),
    "wakeonlan pve2": ("no such node", "pvefw --node pve2 config set --wakeonlan MAC"),
    "apply": ("give either FILE, --export or --schema", "pvefw apply --check FILE"),
    "apply nothere.yaml": ("there is no file nothere.yaml", "check the path"),
    "api token add bob ci": ("there is no API user bob", "api user set bob --grant /=Sys.Audit"),
    "api user remove bob": ("there is no API user bob", "There are: root@pam."),
    "apply empty.yaml": (
        "empty.yaml: the document is empty",
        "For one that wants nothing, write {}.",
    ),
    "apply tab.yaml": ("no value begins with '\\t'", "Indent YAML with spaces, not tabs."),
    "cert deploy pveproxy --test ngx": ("ngx does not get the certificate", "There are: "),
}
"""What is said, and the next step."""


@pytest.fixture(scope="module")
def pair():
    return certificates.self_signed(begin=-1, days=90)


@pytest.fixture
def mistype(paths, capsys, monkeypatch, tmp_path, pair):
    """Runs a line that is wrong on a node with a DNS plugin, two certificates and some files."""
    monkeypatch.chdir(tmp_path)
    for name, data in zip(("pem", "key"), pair, strict=True):
        (tmp_path / f"b.{name}").write_bytes(data)
        files.replace(paths.proxy_certificate.with_suffix(f".{name}"), data)
    (tmp_path / "a.img").touch()
    (tmp_path / "empty.yaml").write_text("\n")
    (tmp_path / "tab.yaml").write_text("guests:\n\t- x\n")
    (tmp_path / "corp.settings").write_text("server=192.0.2.1\n")
    node = ["--root", str(paths.root), "--node", "pve1"]
    for line in (
        "acme plugin add dns corp --api rfc2136 --data corp.settings",
        "cert add www --acmedomain0 www.example.com,plugin=corp",
    ):
        assert run([*node, *line.split()]) == 0
    capsys.readouterr()

    def do(line):
        status = run([*node, *shlex.split(line)])
        captured = capsys.readouterr()
        assert status in (1, 2)
        assert captured.out == ""
        return captured.err

    return do


@pytest.mark.parametrize(("line", "answer"), MISTYPED.items(), ids=list(MISTYPED))
def test_cause_and_next_step_are_said_and_no_task_is_left(mistype, paths, line, answer):
    said = mistype(line)
    for part in answer:
        assert part in said
    assert re.search(r"^pvefw[\w -]*: [^\n]+[^.\n]$", said, re.MULTILINE)
    assert history.tasks(paths, history.Filter(source="all"), limit=9) == []
    assert not [*paths.task_dir.glob("?/*")], "its log is removed"


@pytest.mark.parametrize("line", ["cert delete nginx", "observer remove x", "api user remove bob"])
def test_who_removes_something_is_not_told_how_to_add_it(mistype, line):
    assert "Add it" not in mistype(line)


def test_the_log_of_a_task_that_began_stays(paths):
    from pvefw.core.errors import NotFound
    from pvefw.tasks.task import run_task

    with pytest.raises(NotFound), run_task(paths, "stopall", refusable=True) as task:
        task.log("begun")
        raise NotFound("too late")
    assert len(history.tasks(paths, history.Filter(source="all"), limit=9)) == 1


def test_without_an_account_a_revocation_makes_no_authority(paths, capsys, pair):
    for name, data in zip(("pem", "key"), pair, strict=True):
        files.replace(paths.proxy_certificate.with_suffix(f".{name}"), data)
    assert run(["--root", str(paths.root), "--node", "pve1", "acme", "cert", "revoke"]) == 1
    assert "there is no ACME account named default" in capsys.readouterr().err
    assert not paths.authority_certificate.exists(), "nor a certificate to fall back to"
    assert paths.proxy_certificate.exists()


@pytest.mark.parametrize(
    ("directory", "file", "line", "hint"),
    [
        ("etc/pve/nodes/pve1/config", "", "config get", "is a directory: ls -ld "),
        ("etc/pve/priv/acme/plugins.cfg", "", "acme plugin list", "is a directory: ls -ld "),
        ("", "etc", "config set --description x", "namei -l "),
        ("", "var", "task list", "namei -l "),
    ],
)
def test_a_directory_for_a_file_and_the_contrary(tmp_path, capsys, directory, file, line, hint):
    root = tmp_path / "root"
    (root / directory).mkdir(parents=True)
    if file:
        (root / file).touch()
    assert run(["--root", str(root), "--node", "pve1", *line.split()]) == 1
    said = capsys.readouterr().err
    assert hint in said
    assert len(said.splitlines()) == 2

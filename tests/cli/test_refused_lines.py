"""What a command line lacks, or has too much of, is said with the next step."""

import pytest

from pvefw.cli.run import run


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (
            "acme account register corp a@example.com b@example.com",
            2,
            ["acme account register: it takes only a name and a contact"],
        ),
        (
            "acme account register corp a@example.com",
            2,
            ["no directory was given and there is no terminal to ask", "Give --directory"],
        ),
        (
            "acme account import corp",
            1,
            ["no directory of certbot, acme.sh or lego was found", "Name yours: --from DIR"],
        ),
        (
            "acme persist remove a.example",
            1,
            ["no record of a.example was published from here", "_validation-persist.a.example"],
        ),
        ("cert list --all", 2, ["there is no option --all"]),
        (
            "cert set nosuch",
            2,
            ["nosuch is not a file, and no property is given", "pvefw cert set NAME --PROPERTY"],
        ),
        (
            "cert set pveproxy --serves a:443",
            2,
            ["the properties of pveproxy are the node's", "pvefw config set --PROPERTY VALUE"],
        ),
        ("config get acme --property acme", 2, ["config get: KEY and --property are the same"]),
        ("config set", 2, ["config set: nothing to set", "pvefw config set --help"]),
        (
            "config set --acme account=nosuch",
            2,
            ["no ACME account named nosuch", "pvefw acme account register nosuch MAIL"],
        ),
        (
            "config set --acmedomain0 *.a.example,plugin=standalone",
            2,
            [
                "a wildcard can only be validated through DNS, not by standalone",
                "Assign a DNS instance: pvefw config set --acmedomain0 NAME,plugin=ID",
            ],
        ),
        ("startall --vms ,", 2, ["--vms names no guest", "--vms 100,101"]),
        ("migrateall", 2, ["migrateall: give either TARGET or --spread"]),
        ("migrateall pve2 --spread pve3", 2, ["migrateall: give either TARGET or --spread"]),
        ("migrateall --spread ,", 2, ["migrateall: --spread names no node"]),
        ("guest set 100", 2, ["guest set: nothing to set", "pvefw guest set --help"]),
        ("node drain", 2, ["node drain: no other node is known", "Name one with --to"]),
        ("node drain --to pve2 --spread", 2, ["node drain: give either --to or --spread"]),
        ("node maintain --hosts pve2", 2, ["it needs --hosts and a command", "apt-get"]),
        ("task list --errors=1", 2, ["--errors takes no value", "Give it alone: --errors"]),
        (
            "metrics --textfile /var/lib/pvefw.txt",
            2,
            ["pvefw.txt does not end with .prom", "reads no other files"],
        ),
        (
            "plugin new observer x --type dns-01",
            2,
            ["plugins of the family observer have no type", "it is for challenges"],
        ),
        ("boot status --quiet", 2, []),
        (
            "acme persist publish a.example --until tomorrow",
            2,
            ["--until: 'tomorrow' is not a date such as 2027-12-31"],
        ),
        ("acme persist publish a.example --until", 2, ["the value is missing", "takes DATE"]),
        ("task list --vmid x", 2, ["--vmid: 'x' is not a whole number"]),
        ("task list --vmid", 2, ["the value is missing", "--vmid takes a whole number"]),
        ("task list --output-format", 2, ["takes text, json, json-pretty or yaml"]),
        ("task list --statusfilter x", 2, ["'x' is not a status", "ok, warning, error"]),
        ("wakeonlan pve2 --wait 0", 2, ["'0' is not a whole number from 1 to 86400"]),
        ("cert list frob nob", 2, ["unexpected argument: frob nob"]),
        ("config get nosuch", 1, ["config get: nosuch is not a property", "Set here: none"]),
        ("--nosuch", 2, ["there is no option --nosuch", "See: pvefw --help"]),
        ("cert remove x", 1, ["there is no certificate x in pvefw.cfg"]),
        ("api usage /nosuch", 1, ["Method 'GET /nosuch' not implemented", "pvefw api ls /"]),
    ],
)
def test_it_is_said_with_what_to_do(tmp_path, capsys, line, status, said):
    assert run(["--root", str(tmp_path), "--node", "pve1", *line.split()]) == status
    error = capsys.readouterr().err
    assert [words for words in said if words not in error] == []
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("node return", ["pve1 is not drained", "Task OK"]),
        ("boot clean", ["All ESPs on the list exist."]),
        ("dns cleanup", ["Task OK"]),
    ],
)
def test_where_there_is_nothing_to_do_it_is_done(tmp_path, capsys, line, printed):
    assert run(["--root", str(tmp_path), "--node", "pve1", *line.split()]) == 0
    assert capsys.readouterr().out.splitlines() == printed


def test_a_cluster_that_has_a_ca_keeps_it(tmp_path, capsys):
    init = ["--root", str(tmp_path), "--node", "pve1", "cert", "ca", "init"]
    assert run(init) == 0
    before = (tmp_path / "etc/pve/pve-root-ca.pem").read_bytes()
    capsys.readouterr()
    assert run(init) == 2
    assert "the cluster already has a CA" in capsys.readouterr().err
    assert (tmp_path / "etc/pve/pve-root-ca.pem").read_bytes() == before

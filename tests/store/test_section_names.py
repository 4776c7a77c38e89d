"""Names of sections that are taken, properties that are not there, and values that cannot be one."""

import pytest

from pvefw.cli.run import run

SECTIONS = """\
guest: farm
\tapi libvirt

certificate: web
\tacmedomain0 www.example.com,plugin=standalone
\ttargets tell

certificate: pveproxy
\tacmedomain0 x.example.com
"""


@pytest.fixture
def node(paths):
    config = paths.node_config()
    config.parent.mkdir(parents=True)
    config.write_text("acmedomain0: a.example.com\n")
    paths.cluster_pvefw_cfg.write_text(SECTIONS)
    return ["--root", str(paths.root), "--node", paths.node]


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (
            "cert add pveproxy --acmedomain0 a.example.net",
            2,
            ["cannot be called pveproxy: the node already has one", "pvefw config set"],
        ),
        (
            "cert add farm --acmedomain0 a.example.net",
            2,
            ["the name farm is taken by 'guest: farm'"],
        ),
        ("cert add 9! --acmedomain0 a.example.net", 2, ["'9!' is not the name of a certificate"]),
        (
            "cert set web --delete disable",
            1,
            ["--delete disable: it is not set", "Properties that are set: acmedomain0, targets."],
        ),
        (
            "cert deploy www.example.com",
            1,
            ["That is a name in the certificate web; give that."],
        ),
        ("cert deploy tell", 1, ["It is a target: pvefw cert deploy web --test tell"]),
        ("cert set web --serves x", 2, ["serves: 'x' is not HOST:PORT"]),
        ("config set --delete nosuch", 2, ["--delete nosuch: there is no such property"]),
        (
            "config set --acmedomain1 b.example.com,challenge=X!",
            2,
            ["acmedomain1: 'X!' is not a type of challenges such as dns-account-01"],
        ),
        ("config set --acme account=../x", 2, ["acme: '../x' is not an account name"]),
        (
            f"config set --description {'x' * 65_537}",
            2,
            ["description: it has 65537 characters", "at most 65536 characters"],
        ),
    ],
)
def test_what_cannot_be_is_said(node, paths, capsys, line, status, said):
    before = paths.cluster_pvefw_cfg.read_bytes(), paths.node_config().read_bytes()
    assert run([*node, *line.split()]) == status
    error = capsys.readouterr().err
    assert [words for words in said if words not in error] == []
    assert (paths.cluster_pvefw_cfg.read_bytes(), paths.node_config().read_bytes()) == before


def test_a_section_with_a_name_of_the_nodes_own_is_reported_and_ignored(node, capsys):
    assert run([*node, "cert", "list"]) == 0
    said = capsys.readouterr()
    assert "pvefw.cfg:8: a certificate cannot be called pveproxy; it is ignored" in said.err
    assert "x.example.com" not in said.out


def test_a_property_that_is_set_for_all_nodes_is_not_deleted_for_one(node, paths, capsys):
    paths.cluster_pvefw_cfg.write_text("renew-before: 20\n")
    assert run([*node, "config", "set", "--delete", "renew-before"]) == 1
    assert "renew-before: the property is set for all nodes" in capsys.readouterr().err

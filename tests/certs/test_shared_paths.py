"""No two targets write the same file, and none a file of a certificate that pvefw installs."""

import json

import pytest

from pvefw.certs import references
from pvefw.store.node import Node


@pytest.fixture
def target(pvefw, tmp_path):
    def add(id_, plugin, *settings, verb="add"):
        (tmp_path / "data").write_text("\n".join(settings))
        api = ("--api", plugin) if verb == "add" else ()
        return pvefw("observer", verb, id_, *api, "--data", tmp_path / "data")

    return add


@pytest.fixture
def web(pvefw, target, tmp_path):
    """A certificate with a target, and targets that share a path with it."""
    (tmp_path / "link").symlink_to(tmp_path)
    site = f"{tmp_path}/site.pem"
    assert target("a", "files", f"fullchain={site}")[0] == 0
    assert target("b", "files", f"combined={tmp_path}/link/site.pem")[0] == 0
    assert target("c", "haproxy", f"pem={tmp_path}/{{name}}.pem")[0] == 0
    assert target("d", "ssh", "host=b.example", f"fullchain={site}")[0] == 0
    assert target("e", "ssh", "host=c.example", f"fullchain={site}")[0] == 0
    assert pvefw("cert", "add", "web", "--acmedomain0", "www.example", "--targets", "a") == (0, "")
    return site


def test_two_targets_with_one_path_are_refused(pvefw, web):
    for name, targets, wrong in (
        ("web", "a,b", "the targets a and b both write"),
        ("web", "a,c", ""),
        ("mail", "b", "the targets b and a of certificate web both write"),
        ("mail", "c", ""),
        ("site", "c", "the targets c and a of certificate web both write"),
    ):
        verb = "set" if name == "web" else "add"
        done, said = pvefw("cert", verb, name, "--targets", targets)
        assert (done, wrong in said) == (2 if wrong else 0, True), said
        if wrong:
            assert f"{web}\n" in said


def test_other_hosts_have_paths_of_their_own(pvefw, target, web):
    assert pvefw("cert", "set", "web", "--targets", "a,d,e") == (0, "")
    assert (
        "the targets d and e both write"
        in target("d", "", "host=c.example", f"fullchain={web}", verb="set")[1]
    )


def test_no_target_writes_what_pvefw_installs(paths, pvefw, target, web):
    own, theirs = paths.certificate_files(""), paths.certificate_files("web")
    for number, path in enumerate([own.certificate, own.key, theirs.certificate, theirs.key]):
        assert target(f"t{number}", "files", f"chain={path}")[0] == 0
        for command in (("cert", "set", "web"), ("config", "set")):
            done, said = pvefw(*command, "--targets", f"t{number}")
            name = "web" if number > 1 else "pveproxy"
            assert done == 2
            assert f"t{number} would overwrite {path} of certificate {name}\n" in said


def test_a_target_that_is_used_keeps_away_from_others(pvefw, target, web, tmp_path):
    assert pvefw("cert", "add", "mail", "--targets", "c") == (0, "")
    done, said = target("a", "", f"fullchain={tmp_path}/mail.pem", verb="set")
    assert done == 2
    assert "observer a: the targets a and c of certificate mail both write" in said
    document = tmp_path / "wanted.json"
    wanted = {"observers": {"c": {"api": "haproxy", "data": {"pem": web}}}}
    document.write_text(json.dumps(wanted))
    assert "the targets c and a of certificate web both write" in pvefw("apply", document)[1]
    assert target("b", "", f"combined={web}", verb="set") == (0, ""), "nobody uses it"


def test_status_finds_what_came_otherwise(paths, pvefw, web):
    path = paths.node_pvefw_cfg()
    path.write_text(path.read_text().replace("targets a", "targets a,b"))
    assert references.of_node(Node.open(paths)) == [
        f"certificate web: the targets a and b both write {web}"
    ]
    assert "both write" in pvefw("status", "certificates")[1]

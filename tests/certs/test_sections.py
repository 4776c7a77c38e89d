"""What is wanted of certificates with a section: written, read, compared, refused."""

import json

import pytest
from certificates import NOW, Log, own, self_signed

from pvefw.certs import (
    comparison,
    deploy,
    exposure,
    install,
    references,
    renewal_plan,
    renewal_rule,
    sharing,
)
from pvefw.certs.certificate import Certificate
from pvefw.certs.renewal_rule import Record
from pvefw.cli.run import run
from pvefw.core.errors import NotFound
from pvefw.store import files
from pvefw.store.node import Node


@pytest.fixture
def web(pvefw):
    assert pvefw("cert", "add", "web", "--acmedomain0", "www.example") == (0, "")


def named(paths, name="web"):
    return Certificate.load(Node.open(paths), name)


def test_a_section_is_added_changed_and_removed(paths, pvefw, web):
    assert "is taken by" in pvefw("cert", "add", "web")[1]
    assert "cannot be called pve-ssl" in pvefw("cert", "add", "pve-ssl")[1]
    assert "is not a file" in pvefw("cert", "set", "web")[1]
    assert "is not one of" in pvefw("cert", "set", "web", "--key-type", "dsa")[1]
    twice = pvefw("cert", "set", "web", "--acmedomain5", "www.example")
    assert "pvefw cert set web --delete acmedomain5" in twice[1]
    assert "it is not set" in pvefw("cert", "set", "web", "--delete", "profile")[1]
    changed = ("--key-type", "ec384", "--acmedomain1", "b.example", "--delete", "acmedomain0")
    assert pvefw("cert", "set", "web", *changed) == (0, "")
    assert paths.node_pvefw_cfg().read_text().split() == [
        *["certificate:", "web", "key-type", "ec384", "acmedomain1", "b.example"]
    ]
    for away in (["--disable"], ["--no-disable", "--nodes", "pve2"]):
        assert pvefw("cert", "set", "web", *away)[0] == 0
        with pytest.raises(NotFound, match="no certificate web on node pve1"):
            named(paths)
    assert pvefw("cert", "remove", "web")[0] == 0
    assert "there is no certificate web" in pvefw("cert", "remove", "web")[1]


def test_the_properties_of_the_node_and_other_sections_stay(paths, pvefw):
    before = "renew-before: 30\n\nobserver: tell\n\tapi exec\n\n"
    paths.node_pvefw_cfg().parent.mkdir(parents=True)
    paths.node_pvefw_cfg().write_text(before)
    assert pvefw("cert", "add", "web", "--acmedomain0", "www.example")[0] == 0
    assert paths.node_pvefw_cfg().read_text().startswith(before)
    assert "taken by 'observer: tell'" in pvefw("cert", "add", "tell")[1]
    assert pvefw("cert", "remove", "web")[0] == 0
    assert paths.node_pvefw_cfg().read_text().rstrip() == before.rstrip()


def test_the_clusters_section_is_for_all_nodes_and_the_nodes_own_wins(paths, web):
    text = "certificate: web\n\tacmedomain0 cluster.example\n\n"
    text += "certificate: mail\n\tserves a:25,starttls=smtp\n"
    paths.cluster_pvefw_cfg.write_text(text)
    assert [certificate.name for certificate in Certificate.all_of(Node.open(paths))] == [
        "pveproxy",
        "web",
        "mail",
    ]
    assert [name.name for name in named(paths).settings.names()] == ["www.example"]
    assert named(paths, "mail").settings.served_at == [("a", 25, "smtp")]
    assert named(paths, "mail").settings.names() == []


def test_what_makes_no_sense_in_a_section_is_left_out(paths, pvefw, web):
    path = paths.node_pvefw_cfg()
    path.write_text(path.read_text().rstrip() + "\n\tkey-type dsa\n\tcolour red\n")
    _, said = pvefw("cert", "list")
    assert "key-type: 'dsa' is not one of" in said
    assert "colour: this is not a property of a certificate" in said
    assert named(paths).settings.get("key-type", "") == ""
    assert pvefw("cert", "set", "web", "--profile", "short")[0] == 0
    assert "colour red" in path.read_text()


def test_references_that_lead_nowhere_are_refused(paths, pvefw, web):
    for command in (("cert", "set", "web"), ("config", "set")):

        def refused(*arguments, command=command):
            done, said = pvefw(*command, *arguments)
            assert done == 2
            return said

        assert "no ACME account named none" in refused("--acme", "account=none")
        assert "no ACME account named none" in refused("--fallback-account", "none")
        assert "no plugin instance none" in refused("--acmedomain2", "a.example,plugin=none")
        wildcard = refused("--acmedomain2", "*.example,plugin=standalone")
        assert "can only be validated through DNS" in wildcard
        assert "none is no observer" in refused("--targets", "none")
        assert "not a command line of sh(1)" in refused("--reload-command", "if true")
        assert pvefw(*command, "--reload-command", "true && true")[0] == 0


def test_references_that_came_otherwise_are_found_by_status(paths, pvefw, web):
    def problems():
        found = json.loads(pvefw("status", "--output-format", "json")[1])
        part = found["parts"]["certificates"]
        return part["state"], part["data"]["problems"]

    assert problems() == ("ok", [])
    path = paths.node_pvefw_cfg()
    more = "\ttargets gone\n\tfallback-account none\n\tacmedomain3 *.example\n"
    path.write_text(path.read_text().rstrip() + "\n" + more)
    assert problems() == (
        "attention",
        [
            "certificate web: there is no ACME account named none",
            "certificate web: its target gone is no observer",
            "certificate web: acmedomain3: *.example: there is no DNS instance to validate a wildcard",
        ],
    )


def test_a_target_with_room_for_one_certificate_is_that_of_one(paths, pvefw, web, tmp_path):
    def target(id_, plugin, settings):
        data = tmp_path / "data"
        data.write_text(settings)
        assert pvefw("observer", "add", id_, "--api", plugin, "--data", data)[0] == 0

    target("fixed", "files", f"fullchain={tmp_path}/site.pem\n")
    target("half", "nginx", "key=/etc/nginx/site.key\ncertificate=/etc/nginx/{name}.crt\n")
    target("room", "nginx", "")
    assert pvefw("cert", "set", "web", "--targets", "fixed,half,room")[0] == 0
    for fixed in ("fixed", "half"):
        for command in (("cert", "add", "mail"), ("config", "set")):
            done, said = pvefw(*command, "--targets", fixed)
            assert done == 2
            assert f"the target {fixed} has room for one certificate, and certificate web" in said
    assert pvefw("cert", "add", "mail", "--targets", "room")[0] == 0
    problems = references.of_node(Node.open(paths))
    assert problems == []
    path = paths.node_pvefw_cfg()
    path.write_text(path.read_text().replace("targets room", "targets room,fixed"))
    problems = references.of_node(Node.open(paths))
    assert [problem.partition(": ")[0] for problem in problems] == [
        "certificate web",
        "certificate mail",
    ]
    install.install_pair(named(paths), *self_signed("www.example"), Log(), NOW)
    _, said = pvefw("cert", "deploy", "web", "--dry-run")
    assert "fixed: the target fixed has room for one certificate" in said
    assert "room: the target" not in said


# --- brought, compared, deployed ------------------------------------------------------------------


def test_one_that_somebody_brings_is_private_and_not_compared(paths, pvefw, web, tmp_path):
    pem, key = self_signed("other.example")
    for name, data in (("c.pem", pem), ("k.pem", key)):
        (tmp_path / name).write_bytes(data)
    bring = ("cert", "set", tmp_path / "c.pem", tmp_path / "k.pem", "--certificate", "web")
    assert pvefw(*bring)[0] == 0
    files = named(paths).files
    assert (files.certificate.read_bytes(), files.key.read_bytes()) == (pem, key)
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert "already exists" in pvefw(*bring)[1]
    [line] = [planned.line(NOW) for planned in renewal_plan.plan(Node.open(paths), NOW, keep=False)]
    assert line == "web.pem (other.example): not renewed: it was set by hand"
    assert pvefw("cert", "delete", "web")[0] == 0
    assert not files.certificate.exists()
    assert not paths.node_certificate.exists(), "nothing falls back to the node's own"


_RSA = "its key should be rsa2048, not ec256"


@pytest.mark.parametrize(
    ("values", "record", "said"),
    [
        ({}, Record(account="default"), []),
        ({"acmedomain1": "b.example"}, Record(account="default"), ["b.example is to be added"]),
        ({"acmedomain1": "b.example"}, Record(), []),
        ({"key-type": "ec384"}, Record(account="x"), ["its key should be ec384, not ec256"]),
        ({"key-type": "rsa2048", "key-reuse": "1"}, Record(account="x"), [_RSA]),
        ({"profile": "short"}, Record(account="x", profile=""), ["the profile is now short"]),
        ({"profile": "short"}, Record(account="x"), []),
        ({}, Record(account="x", profile="short"), ["no profile is set now"]),
    ],
)  # fmt: skip
def test_what_is_wanted_and_what_is_there_are_compared(paths, pvefw, web, values, record, said):
    options = [word for key, value in values.items() for word in (f"--{key}", value)]
    if options:
        assert pvefw("cert", "set", "web", *options)[0] == 0
    install.install_pair(named(paths), *self_signed("www.example"), Log(), NOW)
    assert comparison.differences(named(paths), named(paths).installed(), record) == said


def test_a_key_that_is_kept_may_be_of_any_type(paths, pvefw, web):
    assert pvefw("cert", "set", "web", "--key-reuse", "1")[0] == 0
    install.install_pair(named(paths), *self_signed("www.example", "rsa2048"), Log(), NOW)
    found = comparison.differences(named(paths), named(paths).installed(), Record(account="x"))
    assert found == []


def test_each_certificate_has_its_own_service_and_is_deployed_alone(paths, pvefw, web, tmp_path):
    marks = tmp_path / "own", tmp_path / "web"
    for command, mark in zip((("config", "set"), ("cert", "set", "web")), marks, strict=True):
        touch = f"test -n here && echo x >> {mark}"
        assert pvefw(*command, "--reload-command", touch)[0] == 0
    for certificate in (own(paths), named(paths)):
        deploy.prepare(certificate)
        install.install_pair(certificate, *self_signed("www.example"), Log(), NOW)
    assert deploy.pending(Node.open(paths)) == {"reload-command": "", "web: reload-command": ""}
    assert "reload-command: run test" in pvefw("cert", "deploy", "web", "--dry-run")[1]
    assert deploy.deploy(named(paths), Log()) == []
    assert [mark.exists() for mark in marks] == [False, True]
    assert deploy.pending(Node.open(paths)) == {"reload-command": ""}
    assert pvefw("cert", "deploy", "web", "--test", "reload-command")[0] == 0
    assert marks[1].read_text() == "x\nx\n"
    assert "does not get the certificate web" in pvefw("cert", "deploy", "web", "--test", "x")[1]


def test_records_are_kept_apart(paths, web):
    for certificate in (own(paths), named(paths)):
        install.install_pair(certificate, *self_signed("www.example"), Log(), NOW)
        renewal_rule.keep(paths, certificate.installed(), Record(account=certificate.name))
    kept = {name: record.account for name, record in renewal_rule.records(paths).items()}
    assert kept == {"pveproxy-ssl.pem": "pveproxy", "web.pem": "web"}


def test_a_partner_has_nothing_to_share_that_the_old_account_ordered(paths, pvefw, web):
    """From staging to production: the partner that was slower still has one of staging's, and newer."""
    paths.acme_dir.mkdir(parents=True)
    for name in ("staging", "production"):
        account = {"account": {}, "directory": "https://ca.example/", "key": "x", "tos": ""}
        account["location"] = f"https://ca.example/{name}"
        (paths.acme_dir / name).write_text(json.dumps(account))
    assert pvefw("cert", "add", "mail", "--acmedomain0", "www.example")[0] == 0
    for begin, name in ((-2, "web"), (-1, "mail")):
        assert pvefw("cert", "set", name, "--acme", "account=production")[0] == 0
        pair = self_signed("www.example", begin=begin)
        install.install_pair(named(paths, name), *pair, Log(), NOW)
        record = Record(account="https://ca.example/staging")
        renewal_rule.keep(paths, named(paths, name).installed(), record)

    def shared():
        certificate = named(paths)
        return sharing.newer(
            certificate, sharing.partners(certificate), certificate.installed(), NOW
        )

    assert [partner.name for partner in sharing.partners(named(paths))] == ["mail"]
    assert shared() is None
    record = Record(account="https://ca.example/production")
    renewal_rule.keep(paths, named(paths, "mail").installed(), record)
    assert shared().owner == "certificate mail"


def test_a_target_that_comes_late_has_the_service_read_again(paths, pvefw, web, tmp_path):
    """The first reload found the old file; done with it, the service would go on with that one."""
    target, reloads, data = tmp_path / "etc/site.pem", tmp_path / "reloads", tmp_path / "data"
    data.write_text(f"fullchain={target}\n")
    assert pvefw("observer", "add", "site", "--api", "files", "--data", data)[0] == 0
    command = f"cat {target} >> {reloads} || echo nothing >> {reloads}"
    changes = ("--targets", "site", "--reload-command", command)
    assert pvefw("cert", "set", "web", *changes)[0] == 0
    pem, key = self_signed("www.example")
    deploy.prepare(named(paths))
    install.install_pair(named(paths), pem, key, Log(), NOW)
    target.mkdir(parents=True)
    assert deploy.deploy(named(paths), Log()) == ["site"]
    assert reloads.read_text() == "nothing\n"
    target.rmdir()
    assert deploy.deploy(named(paths), Log()) == []
    assert reloads.read_text() == f"nothing\n{pem.decode()}"
    assert deploy.pending(Node.open(paths)) == {}
    assert pvefw("cert", "deploy", "web", "--test", "site")[0] == 0
    assert deploy.pending(Node.open(paths)) == {"web: reload-command": ""}


def test_keys_that_everybody_can_read_are_reported(paths, pvefw, web):
    """An account's, the instances' credentials, and those of certificates."""
    install.install_pair(named(paths), *self_signed("www.example"), Log(), NOW)
    paths.acme_dir.mkdir(parents=True)
    account = paths.acme_dir / "default"
    private = (account, paths.plugins_cfg, paths.own_plugins_cfg, named(paths).files.key)
    for path in private:
        path.touch()
        path.chmod(0o640)
    assert exposure.of_node(Node.open(paths)) == []
    for path in private:
        path.chmod(0o644)
        [said] = exposure.of_node(Node.open(paths))
        assert said.startswith(f"{path}: everybody can use it (mode 0644)")
        path.chmod(0o600)
    account.chmod(0o604)
    assert f"chmod o= {account}" in pvefw("status")[1].replace("\n", "")


def test_private_files_of_another_user_are_reported(paths, monkeypatch):
    """After a restore by a user who is not root, or from a host that gave the numbers to others."""
    private = (paths.authority_key, paths.api_key, paths.proxy_key, paths.open_order)
    for path in private:
        files.replace(path, b"key", private=True)
    assert exposure.of_node(Node.open(paths)) == []
    owner = paths.proxy_key.stat().st_uid
    monkeypatch.setattr(exposure, "_trusted", lambda: (owner + 1,))
    said = exposure.of_node(Node.open(paths))
    assert [sentence.partition(": ")[0] for sentence in said] == [str(path) for path in private]
    assert all(
        sentence.endswith(f"chown root {path}")
        for sentence, path in zip(said, private, strict=True)
    )


def test_credentials_that_settings_refer_to_are_private(paths, tmp_path, pvefw):
    token, text = tmp_path / "token", "observer: one\n\tapi pbs\n\tsecret file:{}\n"
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True, exist_ok=True)
    paths.cluster_pvefw_cfg.write_text(text.format(token))
    assert exposure.of_node(Node.open(paths)) == []
    token.touch(0o644)
    token.chmod(0o644)
    [said] = exposure.of_node(Node.open(paths))
    assert said.startswith(f"{token}: everybody can use it")
    token.chmod(0o640)
    assert exposure.of_node(Node.open(paths)) == []


def test_a_warning_of_a_section_names_file_and_line(paths, pvefw, web):
    file = paths.node_pvefw_cfg()
    file.write_bytes(file.read_bytes().rstrip() + b"\n\trenew-before soon\n")
    said = pvefw("cert", "list")[1]
    line = file.read_text().splitlines().index("\trenew-before soon") + 1
    assert f"{file}:{line}: certificate: web: renew-before: 'soon' is not" in " ".join(said.split())


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (
            ["--acmedomain0", "a.example,plugin=observer1"],
            "pvefw acme plugin add dns observer1 --api NAME --data FILE",
        ),
        (
            ["--acmedomain0", "*.observer.example,plugin=standalone"],
            "Assign a DNS instance: pvefw config set --acmedomain0 NAME,plugin=ID",
        ),
        (["--targets", "wildcard"], "pvefw observer add wildcard --api NAME --data FILE"),
        (
            ["--acme", "account=observer,domains=a.example"],
            "pvefw acme account register observer MAIL",
        ),
    ],
)
def test_what_is_missing_decides_what_is_to_be_done_and_not_its_name(paths, capsys, settings, hint):
    host = ["--root", str(paths.root), "--node", paths.node]
    assert run([*host, "config", "set", *settings]) == 2
    assert hint in capsys.readouterr().err

"""``pvefw apply``: on an empty node, on Proxmox VE's files, twice, with faults, and where it fails."""

import contextlib
import json
from dataclasses import replace
from unittest.mock import Mock

import pytest
from boot.conftest import HostTree, Plain, loaders_of
from jsonschema import Draft202012Validator
from servers.directory_machine import DirectoryMachine
from wanted.conftest import Node

from pvefw.boot import refresh
from pvefw.boot.loaders import Loaders
from pvefw.certs import accounts
from pvefw.cli import boot_context
from pvefw.core.errors import ConfigError, StoreError
from pvefw.store import accounts as store
from pvefw.store import certificate_sections, node_settings
from pvefw.wanted import apply as applying
from pvefw.wanted import document

DOCUMENT = """\
plugins:
  mine:
    type: dns
    api: rfc2136
    data:
      server: 192.0.2.1
      key_name: k
      secret: file:/etc/pve/priv/tsig
    validation-delay: 0
observers:
  tell: {api: exec, data: {program: /bin/true}}
backends:
  libvirt: {api: libvirt, data: {uri: "test:///default"}, disable: true}
properties:
  description: |
    Rack 4
    second line
  acmedomain0: pve1.example.com, plugin=mine
  wakeonlan: 52:54:00:12:34:56
  renew-before: 30
  key-reuse: true
certificates:
  web: {acmedomain0: www.example.com, targets: tell, nodes: [pve1]}
boot:
  cmdline: root=/dev/sda3 quiet
units: {renew-cron: true}
"""
ALL = [
    ("add", "plugins.mine"),
    ("add", "observers.tell"),
    ("add", "backends.libvirt"),
    ("change", "properties"),
    ("add", "certificates.web"),
    ("change", "boot"),
    ("change", "units"),
]


def test_an_empty_node_and_the_second_time(node):
    assert node.changes(DOCUMENT, "--check") == ALL
    assert node.files().keys() == set(), "a check leaves no traces"
    assert node.changes(DOCUMENT) == ALL
    config = node.paths.node_config().read_text()
    assert config.startswith("#Rack 4\n#second line\nacmedomain0: pve1.example.com,plugin=mine\n")
    assert "wakeonlan: 52:54:00:12:34:56" in config
    before = node.files()
    status, out, _ = node.apply(DOCUMENT)
    assert (status, out) == (0, "Nothing to change.\n")
    assert node.changes(DOCUMENT, "--prune") == []
    assert node.files() == before


def test_every_change_is_listed_before_the_first_is_made(node):
    _, out, _ = node.apply(DOCUMENT)
    lines = out.splitlines()
    first = lines.index("plugins.mine: add")
    assert [line for line in lines[:first] if not line.startswith(" ")] == [
        f"{action} {subject}" for action, subject in ALL
    ]
    assert "  + data.secret: file:/etc/pve/priv/tsig" in lines[:first]
    assert lines[-2:] == ["7 changes made.", "Task OK"]


def test_what_is_not_named_stays_unless_it_is_pruned(node):
    node.apply(DOCUMENT)
    changed = "observers: {}\nplugins: {mine: {data: {server: 192.0.2.9}}}\n"
    assert node.changes(changed) == [("change", "plugins.mine")]
    there = node.export()
    assert there["plugins"]["mine"]["data"]["secret"] == "file:/etc/pve/priv/tsig"
    assert there["observers"].keys() == {"tell"}
    # a target must not lose its observer; so the certificate goes first, as it comes last
    pruned = (
        f"{changed}certificates: {{}}\nproperties: {{acmedomain0: 'pve1.example.com,plugin=mine'}}"
    )
    assert node.changes(pruned, "--prune") == [
        ("change", "plugins.mine"),
        ("change", "properties"),
        ("remove", "certificates.web"),
        ("remove", "observers.tell"),
    ]
    there = node.export()
    assert there["plugins"]["mine"] == {
        "type": "dns",
        "api": "rfc2136",
        "data": {"server": "192.0.2.9"},
    }
    assert there["properties"] == {"acmedomain0": "pve1.example.com,plugin=mine"}
    assert "observers" not in there and "backends" in there


def test_what_is_in_use_is_not_pruned(node):
    node.apply(DOCUMENT)
    before = node.files()
    for part, said in (
        ("observers", "observers.tell: observer remove: tell is a target of web\n"),
        ("plugins", "plugins.mine: acme plugin remove: mine validates pve1.example.com"),
    ):
        status, _, err = node.apply(f"{part}: {{}}", "--prune")
        assert status == 2 and said in err
        assert node.files() == before
    assert node.changes("properties: {}", "--prune") == [("change", "properties")]
    assert node.changes("plugins: {}", "--prune") == [("remove", "plugins.mine")]
    status, _, err = node.call("observer", "remove", "tell")
    assert status == 2
    assert "Take it out first: pvefw cert set web --delete targets\n" in err
    assert node.call("cert", "set", "web", "--delete", "targets")[0] == 0
    assert node.changes("observers: {}", "--prune") == [("remove", "observers.tell")]


def test_what_is_there_and_damaged_is_left_out_of_an_export_by_name(node):
    node.paths.acme_dir.mkdir(parents=True)
    (node.paths.acme_dir / "old").write_text("{")
    node.paths.plugins_cfg.write_text("dns: x\n\tdata %%%\n\tapi rfc2136\n")
    node.paths.node_dir().mkdir(parents=True)
    node.paths.node_config().write_text("ballooning-target: lots\n")
    status, out, err = node.call("apply", "--export", "--output-format", "json")
    assert status == 0 and "ballooning" not in out
    assert f"WARN: left out: {node.paths.acme_dir}/old: " in err
    assert f"WARN: left out: {node.paths.plugins_cfg}:1: dns: x: data is not base64url" in err


def test_what_a_node_has_is_not_turned_into_something_else(node):
    node.apply(DOCUMENT)
    status, _, err = node.apply("plugins: {mine: {type: standalone}}")
    assert (status, "mine: it is of type dns, and cannot become standalone" in err) == (2, True)
    assert "Remove it first: pvefw acme plugin remove mine\n" in err


def test_null_is_the_default(node):
    node.apply(DOCUMENT)
    text = "properties: {renew-before: null}\nplugins: {mine: {validation-delay: ~}}"
    assert node.changes(text) == [("change", "plugins.mine"), ("change", "properties")]
    assert "renew-before" not in node.export()["properties"]
    assert "validation-delay" not in node.export()["plugins"]["mine"]
    assert node.changes(text) == []


def test_the_files_of_a_node_of_proxmox_ve(node, elsewhere):
    """What pvefw does not know in them survives, plain secrets too, and none is exported."""
    paths = node.paths
    paths.node_dir().mkdir(parents=True)
    paths.node_config().write_text("#note\nacmedomain0: a.example,plugin=cf\nfuture: 1\n")
    paths.acme_dir.mkdir(parents=True)
    plugins = (
        "standalone: standalone\n\tnodes pve2\n\n"
        "dns: cf\n\tapi rfc2136\n\tdata c2VydmVyPTE5Mi4wLjIuMQpzZWNyZXQ9WVdKagprZXlfbmFtZT1rCg\n"
        "\tnew thing\n\n"
        "dns: other\n\tapi rfc2136\n\tdata c2VydmVyPTE5Mi4wLjIuMQ\n\tnodes pve9\n"
    )
    paths.plugins_cfg.write_text(plugins)
    before = node.files()
    status, out, err = node.call("apply", "--export")
    assert status == 0 and "YWJj" not in out
    assert "left out: plugins.cf.data: secret: a secret in plain text" in err
    assert "other" not in out, "it is for another node"
    assert node.changes(out, "--prune") == []
    assert node.files() == before
    assert node.changes("plugins: {cf: {data: {server: 192.0.2.2}}}") == [("change", "plugins.cf")]
    text = paths.plugins_cfg.read_text()
    assert "\tnew thing\n" in text and "dns: other" in text
    assert "YWJj" in node.call("acme", "plugin", "config", "cf", "--show-secrets")[1]
    assert "future: 1" in paths.node_config().read_text()
    _, _, err = elsewhere.apply(out)
    assert "plugins.cf: plugin instance cf: key_name and secret belong together" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugins: {a: {typ: dns}}", "1: plugins.a: typ is not known here (did you mean type?)"),
        ("\na: 1", "2: a is not known here"),
        ("units: {}\nunits: {}", "2: units occurs twice; the first is in line 1"),
        (
            "boot:\n  pinned: 6.8\n  pinned: 6.9",
            "3: boot: pinned occurs twice; the first is in line 2",
        ),
        ("boot: [", "1: this is not YAML: "),
        ("observers:", "1: observers: names with values are expected here"),
        (
            "properties:\n\n  renew-before: 1000",
            "3: properties.renew-before: '1000' is not a whole",
        ),
        ("properties: {wakeonlan: xy}", "1: properties.wakeonlan: 'xy' is not a MAC address"),
        ("units: {guests: false}", "1: units.guests: this can only be true"),
        (
            "boot: {cmdline: quiet}",
            "1: boot.cmdline: cmdline: the kernel's command line has no root=",
        ),
        ("accounts: {a: {eab-hmac-key: abc}}", "1: accounts.a.eab-hmac-key: this is a secret"),
        (
            "plugins:\n  a: {type: dns, api: rfc2136, data: {server: 192.0.2.1, secret: abc}}",
            "2: plugins.a: secret is a secret",
        ),
        ("observers: {tell: {data: {}}}", "1: observers.tell: it does not exist yet, and api is"),
        ("observers: {'9': {api: exec}}", "1: observers: '9' is not the id of a"),
        ("guests: {105: {onboot: true}}", "1: guests.105: this does not exist"),
        (
            "units: {renew-cron: true}\nproperties: {acmedomain0: 'a.example,plugin=nobody'}",
            "2: properties: config set: acmedomain0: there is no plugin instance nobody",
        ),
        (
            "certificates: {web: {acmedomain0: a.example, targets: nobody}}",
            "1: certificates.web: certificate web: its target nobody is no observer",
        ),
        (
            "observers: {a: {api: exec, data: {program: x, programm: y}}}",
            "1: observers.a: observer a: ",
        ),
        ("a: b: c", "1: this is not YAML: there is a second ': ' in a value: quote it, or check"),
        ('a: "b" "c"', "1: this is not YAML: a value is not expected here"),
        ('a: {b: "c" "d"}', "1: this is not YAML: a value is not expected here"),
        ("a:\n  b: 1\n c: 1", "3: this is not YAML: a name of this indentation is not expected"),
        ("- a\nb: c", "2: this is not YAML: a name of this indentation is not expected here"),
        ("boot: {kernels: 6.8}", "1: boot.kernels: a list is expected here"),
        ("boot: {pinned: a b}", "1: boot.pinned: 'a b' is not the version of a kernel"),
        ("plugins: {a: {type: x}}", "1: plugins.a.type: 'x' is not one of dns, standalone, ch"),
        ("plugins: {a: {disable: x}}", "1: plugins.a.disable: 'x' is neither true nor false"),
        (
            "plugins: {a: {validation-delay: -3}}",
            "1: plugins.a.validation-delay: '-3' is not a whole number from 0 to 172800",
        ),
        ("plugins: {a: {type: dns, api: nobody, data: {x: y}}}", "1: plugins.a: no DNS plugin or"),
        (
            "units: {renew-cron: true}\naccounts: {a: {contact: [a@b.example]}}",
            "2: accounts.a: it does not exist yet, and directory is missing to register it",
        ),
        (
            "accounts: {a: {directory: letsencrypt, eab-kid: k}}",
            "1: accounts.a: eab-kid and eab-hmac-key belong together",
        ),
        (
            "accounts: {a: {directory: letsencrypt, eab-hmac-key: 'file:/k'}}",
            "1: accounts.a: eab-kid and eab-hmac-key belong together",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_nothing_is_changed(node, text, said):
    status, _, err = node.apply(text)
    assert status == 2, "1 is that of a node that differs"
    assert f"document.yaml:{said}" in err
    assert node.files() == {}


def test_every_error_of_a_document_is_said(node):
    status, _, err = node.apply(
        "properties:\n  acmedomian0: a.example\n  renew-before: 1000\n"
        "plugins:\n  '9': {}\n  a: {typ: dns}\n"
    )
    assert status == 2
    assert "document.yaml:2: properties: acmedomian0 is not known here" in err
    assert "(did you mean acmedomain0?)" in err
    assert "acmedomainN" in err and "(?:" not in err
    for number, key in ((3, "properties.renew-before"), (5, "plugins"), (6, "plugins.a")):
        assert f"document.yaml:{number}: {key}: " in err


def test_a_document_names_another_machine_only_for_its_files(node):
    (node.paths.root / "etc").mkdir()
    (node.paths.root / "etc/hostname").write_text("pve2\n")
    _, _, err = node.apply("properties: {}\nboot: {pinned: 6.8.4-2-pve}")
    assert (
        "document.yaml:2: boot: this is about the machine itself, and node pve1 is another one"
        in err
    )
    assert node.changes("properties: {renew-before: 9}") == [("change", "properties")]
    assert node.export() == {"properties": {"renew-before": "9"}}


def test_a_failure_in_the_middle_says_how_far_it_went_and_a_second_run_goes_on(node, monkeypatch):
    add = certificate_sections.add
    calls = []

    def fails_for_good(*arguments):
        calls.append(arguments)
        if len(calls) == 2:  # the first is the rehearsal
            raise StoreError("the disk is full")
        return add(*arguments)

    monkeypatch.setattr(certificate_sections, "add", fails_for_good)
    status, out, err = node.apply(DOCUMENT, "--output-format", "json")
    assert status == 1
    assert [change["done"] for change in json.loads(out)["changes"]] == [True] * 4 + [False] * 3
    assert "certificates.web: the disk is full" in err
    assert (
        "Done: add plugins.mine, add observers.tell, add backends.libvirt, change properties."
        in err
    )
    assert "Not done: add certificates.web, change boot, change units." in err
    assert node.changes(DOCUMENT) == ALL[4:]
    assert node.changes(DOCUMENT) == []


def test_differences_are_those_of_the_document(node):
    node.apply(DOCUMENT)
    _, out, _ = node.apply("properties: {renew-before: 10}", "--check", "--diff")
    assert "--- properties (is)\n+++ properties (wanted)\n" in out
    assert "-  renew-before: '30'\n+  renew-before: '10'\n" in out


def test_the_schema_takes_what_is_taken_and_refuses_what_is_not(node):
    schema = json.loads(node.call("apply", "--schema")[1])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    node.apply(DOCUMENT)
    assert validator.is_valid(node.export())
    assert validator.is_valid({"properties": {"renew-before": 9, "acmedomain7": None}})
    for wrong in ({"a": 1}, {"units": {"guests": False}}, {"plugins": {"a": {"type": "x"}}}):
        assert not validator.is_valid(wrong)


def test_guests_and_their_order(farm, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(farm.site))
    node = Node(farm.paths, capsys)
    farm.guest(100)
    farm.guest(101, onboot=False, order=3)
    text = "guests:\n  100: {order: 1, up: 0, after: [101]}\n  101: {onboot: true, order: null}\n"
    assert node.changes(text) == [("change", "guests.100"), ("change", "guests.101")]
    assert node.changes(text) == []
    assert node.export()["guests"] == {
        "100": {"onboot": True, "order": 1, "up": 0, "after": [101]},
        "101": {"onboot": True, "up": 0},
    }


def test_a_loader_for_an_esp_and_the_kernels_on_it(tmp_path, capsys, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    node = Node(HostTree(root).paths, capsys)
    machine = DirectoryMachine(tmp_path / "esps")
    machine.add("AAAA-0001")
    monkeypatch.setattr(boot_context, "machine", lambda _app: machine)
    monkeypatch.setattr(Loaders, "load", classmethod(lambda _cls, _paths: loaders_of(Plain())))
    text = (
        "esps: {aaaa-0001: {loader: plain}}\n"
        "boot: {pinned: 6.5.13-6-pve, kernels: [6.5.13-6-pve], cmdline: root=/dev/sda9}\n"
    )
    assert node.changes(text) == [("add", "esps.AAAA-0001"), ("change", "boot")]
    esp = tmp_path / "esps/AAAA-0001/plain"
    assert (esp / "menu").read_text().splitlines()[-1] == "6.5.13-6-pve"
    assert (esp / "cmdline").read_text() == "root=/dev/sda9"
    assert node.changes(text) == []
    assert node.changes(text.replace("aaaa-0001", "/dev/sda2")) == []
    _, _, err = node.apply("boot: {kernels: [9.9.9-9-pve]}")
    assert "document.yaml:1: boot: " in err and "9.9.9-9-pve" in err
    # what did not reach the ESPs is not done, so that it is tried again
    fails = Mock(side_effect=StoreError("the ESP is full"))
    with monkeypatch.context() as patched:
        patched.setattr(refresh, "refresh", fails)
        status, _, err = node.apply("boot: {kernels: [], pinned: null, cmdline: root=/dev/sdb1}")
    assert status == 1 and "the ESP is full" in err and "Not done: change boot" in err
    assert node.changes(text) == []
    _, _, err = node.apply("boot: {}", "--prune")
    assert "no command line is set, and the running one belongs to another system" in err
    assert node.paths.cmdline.read_text() == "root=/dev/sda9\n"
    assert node.changes("boot: {cmdline: root=/dev/sda9}", "--prune") == [("change", "boot")]
    assert node.export()["boot"] == {"cmdline": "root=/dev/sda9"}
    assert (esp / "menu").read_text().splitlines()[-1] == "6.8.12-4-pve"


def test_a_pin_where_nothing_boots_from_esps_of_ours(tmp_path, capsys, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    node = Node(HostTree(root).paths, capsys)
    monkeypatch.setattr(boot_context, "machine", lambda _app: DirectoryMachine(tmp_path / "esps"))
    monkeypatch.setattr(Loaders, "load", classmethod(lambda _cls, _paths: loaders_of(Plain())))
    before = node.files()
    status, _, err = node.apply("boot: {pinned: 6.5.13-6-pve, cmdline: root=/dev/sda9}")
    assert status == 1 and "boot: no ESP is configured, and no installed boot loader" in err
    assert before.items() <= node.files().items() and not node.paths.pinned_kernel.exists()
    assert node.changes("boot: {cmdline: root=/dev/sda9}") == [("change", "boot")]
    assert node.changes("boot: {}", "--prune") == [("change", "boot")]
    assert not node.paths.cmdline.exists()


def test_units_and_hooks(node):
    text = "units: {boot-hooks: true, guests: true}"
    assert node.changes(text) == [("change", "units")]
    assert node.paths.below("etc/systemd/system/pvefw-guests.service").exists()


def test_accounts_are_registered_once(node, pebble):
    text = (
        f"accounts:\n  one:\n    directory: {pebble.directory}\n    ca-file: {pebble.ca_file}\n"
        "    contact: [mail@example.invalid]\n    accept-tos: true\n"
        "properties: {acme: 'account=one,domains=a.example'}\n"
    )
    assert node.changes(text) == [("add", "accounts.one"), ("change", "properties")]
    assert node.changes(text) == []
    new = "accounts: {one: {contact: [new@example.com]}}"
    assert node.changes(new) == [("change", "accounts.one")]
    assert node.export()["accounts"]["one"]["contact"] == ["new@example.com"]
    _, _, err = node.apply("accounts: {one: {directory: letsencrypt}}")
    assert "accounts.one: it is an account at" in err and "and cannot move to" in err
    assert node.changes("accounts: {}", "--prune") == []


def test_a_document_that_is_too_large_or_no_text():
    for data in (b"#" * (2 << 20), b"\xff\xfe\x00", b"[" * 50, b"\x00"):
        with pytest.raises(ConfigError, match=r"^d\.yaml:"):
            document.read(data, "d.yaml")


def test_a_hypervisor_that_does_not_answer_costs_its_guests_only(node):
    uri = f"qemu+unix:///system?socket={node.paths.root}/none"
    text = f"backends: {{kvm: {{api: libvirt, data: {{uri: '{uri}'}}}}}}"
    assert node.changes(text) == [("add", "backends.kvm")]
    status, out, err = node.call("apply", "--export")
    assert status == 0 and "kvm" in out
    assert "WARN: left out: guests: " in err


@pytest.mark.parametrize("text", [b"", b"\n", b"# all of it is commented out\n"])
def test_nothing_at_all_is_no_document(text):
    with pytest.raises(ConfigError, match="the document is empty") as caught:
        document.read(text, "standard input")
    assert "{}" in caught.value.hint
    assert document.read(b"{}", "standard input").state == {}


def test_an_account_that_is_there_gets_another_authority_to_trust(node):
    mine = store.Account("mine", "https://ca.example/d", "https://ca.example/1", "key", tos="x")
    store.save(node.paths, mine)
    assert node.changes("accounts: {mine: {ca-file: /etc/ca.pem}}") == [("change", "accounts.mine")]
    assert replace(store.load(node.paths, "mine"), raw={}) == replace(mine, ca_file="/etc/ca.pem")
    status, _, err = node.apply("accounts: {mine: {directory: 'https://ca.example/e'}}")
    assert status == 2, "before anything is changed"
    assert "mine: it is an account at https://ca.example/d, and cannot move to" in err
    assert "Add another account, under another name." in err


def test_what_an_authority_asks_of_a_new_account(node, tmp_path, monkeypatch):
    terms = accounts.AuthorityTerms("https://ca.example/d", "", "https://ca.example/t", True)
    monkeypatch.setattr(accounts, "look_at", lambda *_: terms)
    registered = Mock()
    monkeypatch.setattr(accounts, "register", registered)
    text = "accounts: {a: {directory: 'https://ca.example/d'%s}}"
    status, _, err = node.apply(text % "")
    assert status == 2 and not registered.called
    assert "a: the terms of service are not agreed to: https://ca.example/t" in err
    assert "Read them, then write: accept-tos: true" in err
    for data, key in (("c2VjcmV0 \n", "c2VjcmV0"), ('{"b64MacKey": "a2V5"}', "a2V5")):
        (tmp_path / "key").write_text(data)
        more = f", accept-tos: true, eab-kid: k, eab-hmac-key: 'file:{tmp_path}/key'"
        assert node.apply(text % more)[0] == 0
        assert registered.call_args[1]["binding"] == ("k", key)
    (tmp_path / "key").write_text("no key!")
    status, _, err = node.apply(text % more)
    assert status == 1 and "a: eab-hmac-key: this is not the key of an external account" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugins: {own: {api: null}}", "1: plugins.own: api has no default, so it cannot be null"),
        ("plugins: {own: {type: ~}}", "1: plugins.own: type has no default, so it cannot be null"),
        ("properties: {description: !vault abc}", "the tag !vault is not known"),
        ("properties: {description: !!binary aGFsbG8=}", "the tag !!binary is not known"),
        ('plugins: {own: {data: {program: "/bin/true\\ntimeout=9"}}}', "more than one line"),
        (f"a: {'[' * 3000}{']' * 3000}", "nested too deeply"),
        ("esps: {0000-1111: {}}", "1: esps.0000-1111: no disk of this host has"),
    ],
)
def test_what_a_second_run_would_find_again_is_refused_by_the_first(node, text, said):
    plugin = "plugins: {own: {type: dns, api: exec, data: {program: /bin/true}}}"
    assert node.apply(plugin)[0] == 0
    before = node.files()
    for options in (["--check"], []):
        status, _, err = node.apply(text, *options)
        assert status == 2 and said in err, err
    assert node.files() == before


def test_an_empty_text_is_none(node):
    assert node.changes("properties: {description: one}") == [("change", "properties")]
    assert node.changes("properties: {description: ''}") == [("change", "properties")]
    assert node.changes("properties: {description: ''}") == []
    assert "properties" not in node.export()


def test_two_documents_are_applied_one_after_the_other(node, monkeypatch):
    """Each was compared with a node that the other has changed since."""
    before, text = applying.alone, "properties: {description: one}"

    @contextlib.contextmanager
    def another_comes_first(paths):
        node_settings.change(paths, {"key-type": "ec384"})
        with before(paths):
            yield

    monkeypatch.setattr(applying, "alone", another_comes_first)
    status, out, err = node.apply(text)
    assert status == 1 and "has changed since the changes were listed" in out + err
    assert "one" not in node.call("config", "get")[1]
    monkeypatch.setattr(applying, "alone", before)
    assert node.changes(text) == [("change", "properties")]

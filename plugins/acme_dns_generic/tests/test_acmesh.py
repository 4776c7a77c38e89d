"""acme.sh's scripts: the catalogue, the runner, real servers, and scripts that mean no good."""

import os
import re
import secrets
import shutil
import threading
from pathlib import Path

import pytest
from privileges import only_root
from servers.knot import knot
from servers.nameserver import Key, Zone, free_dns_port
from servers.powerdns import powerdns
from shifted_clock import needs_the_machines_clock

from pvefw.api import CredentialsRejected, ProviderError, TxtRecord
from pvefw.core import binding as plugin_binding
from pvefw.core.families import DNS_CATALOG
from pvefw.instances import Instance, instance_binding
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic.acmesh import Acmesh, ScriptedDns
from pvefw_acme_dns_generic.runner import Script

SCRIPTS = Path(__file__).parent / "scripts"
RECORD = TxtRecord("_acme-challenge.www.example.com.", "value-1")
IN_KIT = TxtRecord("_acme-challenge.kit.test.", "value-1")
needs_root = only_root("becomes another user")


def scripted(name, values, directory=SCRIPTS):
    return ScriptedDns(Script(name, directory / f"dns_{name}.sh", values))


# --- real servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pdns(tmp_path_factory):
    zone = Zone("kit.test.", {"ns1": "127.0.0.1"})
    with powerdns(tmp_path_factory.mktemp("pdns"), [zone]) as server:
        yield server


@pytest.fixture(scope="module")
def knot_server(tmp_path_factory):
    zone = Zone("kit.test.", {"ns1": "127.0.0.1"})
    with knot(tmp_path_factory.mktemp("knot"), [zone], port=free_dns_port()) as server:
        yield server


class TestPowerDns(DnsConformance):
    """Through the HTTP API: curl, JSON, headers."""

    def values_of(self, pdns, token):
        return {"PT_Url": pdns.api, "PT_Token": token, "PT_Zone": "kit.test."}

    @pytest.fixture
    def plugin(self, pdns):
        return scripted("pdnsapi", self.values_of(pdns, pdns.api_key))

    @pytest.fixture
    def fresh_plugin(self, pdns):
        return lambda: scripted("pdnsapi", self.values_of(pdns, pdns.api_key))

    @pytest.fixture
    def zone(self):
        return "kit.test."

    @pytest.fixture
    def records(self, pdns):
        return pdns.txt

    @pytest.fixture
    def broken_plugin(self, pdns):
        return scripted("pdnsapi", self.values_of(pdns, "wrong-token"))


class TestKnot(DnsConformance):
    """Through a program of the system's."""

    def values_of(self, knot_server, key):
        needs_the_machines_clock("programs that pvefw runs read another one; TSIG allows 5 minutes")
        return {
            "KN_Server": knot_server.address,
            "KN_Port": str(knot_server.port),
            "KN_Key": f"{key.algorithm}:{key.name}:{key.secret}",
            "KN_Zone": "kit.test.",
        }

    @pytest.fixture
    def plugin(self, knot_server):
        return scripted("knsup", self.values_of(knot_server, knot_server.key))

    @pytest.fixture
    def fresh_plugin(self, knot_server):
        return lambda: scripted("knsup", self.values_of(knot_server, knot_server.key))

    @pytest.fixture
    def zone(self):
        return "kit.test."

    @pytest.fixture
    def records(self, knot_server):
        return knot_server.txt


def test_a_wrong_key_is_the_programs_words(knot_server):
    kit = TestKnot()
    wrong = scripted("knsup", kit.values_of(knot_server, Key(name="nobody.")))
    with pytest.raises(ProviderError, match=r"dns_knsup\.sh add: knsupdate: .*(NOTAUTH|BADKEY)"):
        wrong.dns_add(records=[IN_KIT], task=FakeTask())


# --- the catalogue ----------------------------------------------------------------------------------


def test_every_script_is_a_provider_with_its_settings():
    catalogue, root = Acmesh(path=SCRIPTS), Path("/")
    assert {"knsup", "pdnsapi"} <= set(catalogue.catalog_names(root))
    entry = catalogue.catalog_entry("pdnsapi", root)
    assert (entry.title, entry.docs) == ("PowerDNS for tests", "https://powerdns.example/docs")
    assert [(setting.key, setting.secret) for setting in entry.settings] == [
        ("PT_Url", False),
        ("PT_Token", True),
        ("PT_Zone", False),
    ]
    with pytest.raises(ProviderError, match=r"no script dns_nothing\.sh"):
        catalogue.catalog_make("nothing", {}, root)


def test_a_node_of_proxmox_ve_goes_on_with_its_scripts(tmp_path, pdns):
    """The catalogue's directory comes from pvefw.cfg; names and settings are checked."""
    paths = Paths(tmp_path, "pve1")
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    paths.cluster_pvefw_cfg.write_text("dns_catalog: acmesh\n\tpath /etc/scripts\n")
    shutil.copytree(SCRIPTS, tmp_path / "etc/scripts")
    assert "pdnsapi" in instance_binding.names(Node.open(paths))
    values = {"PT_Url": pdns.api, "PT_Token": pdns.api_key, "PT_Zone": "kit.test."}
    for name in ("pdnsapi", "acmesh/pdnsapi"):
        bound = instance_binding.bind(Node.open(paths), Instance("dns", "mine", name, values))
        bound.hooks.dns_remove(zone="kit.test.", records=[IN_KIT], task=FakeTask())
    doubts = instance_binding.check(
        Node.open(paths), Instance("dns", "mine", "pdnsapi", {"PT_Url": "x", "PT_Tokn": "x"})
    )
    assert doubts[0].endswith("(did you mean PT_Token?)")
    assert doubts[1:] == ["PT_Token is missing", "PT_Zone is missing"]


def test_the_catalogue_binds_as_core_binds_it():
    bound = plugin_binding.bind(DNS_CATALOG, "acmesh", {"path": str(SCRIPTS)})
    assert bound.hooks.catalog_entry(name="knsup", root=Path("/")).title == "Knot for tests"


# --- the runner -------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """Runs ``dns_evil_add`` with this body; the task, or the error."""

    def do(body, values=None, records=(RECORD,)):
        (tmp_path / "dns_evil.sh").write_text(f"dns_evil_add() {{\n{body}\n}}\n")
        task = FakeTask()
        scripted("evil", values or {}, tmp_path).dns_add(records=list(records), task=task)
        return task

    return do


def test_what_a_script_gets(run):
    task = run('_info "$1 $2 $EV_Key $(_readaccountconf EV_Key)"', {"EV_Key": 'a\'b "c" $d'})
    assert task.lines == ['_acme-challenge.www.example.com value-1 a\'b "c" $d a\'b "c" $d']


def test_every_record_in_one_shell_until_one_fails(run):
    records = [TxtRecord(f"{n}.example.com.", "v") for n in range(3)]
    with pytest.raises(ProviderError, match=r"dns_evil\.sh add: no to 1\.example\.com"):
        run('_info "$1"; case $1 in 1*) _err "no to $1"; return 1 ;; esac', records=records)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("HTTP 401 Unauthorized", CredentialsRejected),
        ("authentication failed", CredentialsRejected),
        ("something odd", ProviderError),
    ],
)
def test_what_a_script_says_is_the_error(run, said, kind):
    with pytest.raises(kind, match=said) as caught:
        run(f'_err "{said}"; return 1')
    assert type(caught.value) is kind


def test_without_a_message_its_last_words_are_the_error(run):
    with pytest.raises(ProviderError, match="not found"):
        run("no_such_command_anywhere || return 1")


def test_the_environment_is_clean(run, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "from outside")
    [line] = run('_info "$(env | sort | tr "\\n" " ")"', {"EV_Key": "s3cr3t"}).lines
    names = {word.partition("=")[0] for word in line.split() if "=" in word}
    assert names <= {"HOME", "LANG", "PATH", "PWD", "TMPDIR", "SHLVL", "_", "OLDPWD"}
    assert "s3cr3t" not in line


@needs_root
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('_info "$(id -u) $(id -G)"', r"^(\d{5,}) \1$"),
        ('_info "$(grep NoNewPrivs /proc/self/status)"', r"NoNewPrivs:\s+1"),
        ('_info "$(grep CapEff /proc/self/status)"', r"CapEff:\s+0000000000000000"),
        ('cat /etc/shadow >/dev/null 2>&1; _info "status $?"', "status 1"),
        ('kill -9 1 2>/dev/null; _info "status $?"', "status [01]"),
        ('touch /etc/evil 2>/dev/null; _info "status $?"', "status 1"),
    ],
)
def test_a_script_is_a_user_of_its_own(run, body, said):
    [line] = run(body).lines
    assert re.search(said, line)


def test_its_directory_is_private_and_gone_afterwards(run):
    name = f"pvefw-{os.urandom(8).hex()}"
    [line] = run(f'touch "$TMPDIR/{name}"; _info "$(ls "$TMPDIR" | grep pvefw)"').lines
    assert line == name  # and nobody else's
    assert not Path("/tmp", name).exists()


@pytest.mark.parametrize(
    "body",
    [
        "bomb() { bomb | bomb & }; bomb; while (:); do :; done; return 1",
        "while :; do echo endless; done",
        "head -c 100000000 /dev/zero >\"$TMPDIR/large\" || { _err 'no'; return 1; }",
        "exit 3",
    ],
    ids=["fork bomb", "endless output", "large file", "exits"],
)
def test_a_script_that_wants_too_much_fails_in_its_bounds(run, body):
    from pvefw.core.errors import PvefwError

    with pytest.raises(PvefwError):  # within the test's own time limit, or it fails
        run(body)


def test_a_script_that_never_ends(run, monkeypatch):
    from pvefw.core.errors import PvefwError

    monkeypatch.setattr("pvefw_acme_dns_generic.runner._SECONDS", 0.5)
    with pytest.raises(PvefwError, match=r"did not end within 0\.5 seconds"):
        run("sleep infinity")


@needs_root
def test_nothing_that_it_starts_outlives_it(run, tmp_path):
    marker = f"{secrets.randbelow(10**15) + 10**15}"  # seconds that no other program sleeps
    there = '"$TMPDIR/there"'
    outlives = f"touch {there}; exec sleep {marker}"
    run(
        f"(setsid sh -c '{outlives}' >/dev/null 2>&1 </dev/null &)\n"
        f"until test -e {there}; do sleep 0.01; done; _info started"
    )
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(marker.encode() in process for process in running)


def test_secrets_are_in_no_argument_environment_or_file_while_it_runs(run, pdns):
    """Watch every process of the machine while a script talks to its provider."""
    secret, seen, done = "s3cr3t-value-4711", [], threading.Event()

    def watch():
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                if process.name == str(os.getpid()):
                    continue
                for name in ("cmdline", "environ"):
                    try:
                        if secret.encode() in (process / name).read_bytes():
                            seen.append((process.name, name))
                    except OSError:
                        continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        body = f"""
            _H1="X-API-Key: $EV_Key"
            for n in 1 2 3 4 5; do
                _post "$EV_Key" "{pdns.api}/zones?k=$EV_Key" "" POST text/plain >/dev/null
                printf x | _hmac sha256 "$(printf '%s' "$EV_Key" | _hex_dump)" hex >/dev/null
            done
            _info "files: $(printf '%s' "$EV_Key" | grep -rlFf - "$TMPDIR" | wc -l)"
        """
        task = run(body, {"EV_Key": secret})
    finally:
        done.set()
        watcher.join()
    assert seen == []
    assert task.lines == ["files: 0"]

"""What a node's figures are, and which alert each state of it raises."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import certificates
import pytest
import yaml
from environments import ROOT
from prometheus_client.parser import text_string_to_metric_families
from resources import uses

from pvefw.certs import chain as chains
from pvefw.certs import revocation, timer
from pvefw.certs.certificate import Certificate
from pvefw.cli import status
from pvefw.cli.run import run
from pvefw.core.errors import ProviderError, UsageError
from pvefw.store import files, revocations
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw_metrics import timer as timer_of_figures
from pvefw_metrics.figures import _journal, exposition

RULES = ROOT / "share/prometheus/pvefw.rules.yml"
UPID = "UPID:pve1:00010D94:001CA6EA:{:08X}:vzdump:100:root@pam:"


@pytest.fixture
def paths(tmp_path):
    """A node in a tree of its own."""
    (tmp_path / "root").mkdir()
    return Paths(tmp_path / "root", "pve1")


@pytest.fixture
def figures(paths, capsys, monkeypatch):
    """The figures of the command, by name and labels."""
    monkeypatch.setattr(status, "_SECONDS", 120.0)  # a machine may be busy

    def do():
        assert run(["--root", str(paths.root), "--node", "pve1", "metrics"]) == 0
        return parsed(capsys.readouterr().out)

    return do


def parsed(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def install(paths, age=0):
    pem, key = certificates.self_signed(begin=-age, days=90)
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)
    files.replace(paths.node_config(), b"acmedomain0: pve1.example\n")
    return chains.parse(pem, "it")[0]


def of_file(name):
    return (name, ("filename", "pveproxy-ssl.pem"))


def test_a_certificate(paths, figures):
    leaf = install(paths)
    found = figures()
    [name] = [sample for sample in found if sample[0] == "x509_cert_not_after"]
    assert found[name] == leaf.not_valid_after_utc.timestamp()
    labels = dict(name[1:])
    assert labels["filepath"] == str(paths.proxy_certificate)
    assert labels["subject_CN"] == labels["issuer_CN"] == "pve1.example"
    assert labels["serial_number"] == str(leaf.serial_number)
    assert found["x509_cert_expired", *name[1:]] == 0
    assert (
        leaf.not_valid_before_utc.timestamp()
        < found[of_file("pvefw_renewal_due_timestamp_seconds")]
    )
    assert found[of_file("pvefw_renewal_failures")] == 0
    assert found[of_file("pvefw_certificate_revoked")] == 0
    assert found["pvefw_renewal_timer_installed",] == 0
    assert found["pvefw_part_ok", ("part", "certificates")] == 0
    timer.install(paths, lambda _said: None, cron=True)
    found = figures()
    assert found["pvefw_renewal_timer_installed",] == 1
    assert found["pvefw_part_ok", ("part", "certificates")] == 1


def test_of_a_damaged_journal_there_is_no_figure(paths):
    """Zero would say that nothing is left to be removed."""
    [figure] = _journal(paths)
    assert [sample.value for sample in figure.samples] == [0]
    paths.dns_journals.mkdir(parents=True)
    (paths.dns_journals / "1.json").write_text("{")
    assert list(_journal(paths)) == []


def test_a_certificate_that_has_ended_and_was_revoked(paths, figures):
    leaf = install(paths, age=91)
    now = datetime.now(UTC)
    revocations.add(paths, revocation.of(paths, leaf, now, with_key=True), now)
    found = figures()
    assert found[of_file("pvefw_certificate_revoked")] == 1
    assert [value for name, value in found.items() if name[0] == "x509_cert_expired"] == [1]


def test_tasks_and_how_the_host_boots(paths, figures):
    now = int(datetime.now(UTC).timestamp())
    index = f"{UPID.format(now - 3600)} {now - 3000:08X} job errors\n"
    files.replace(paths.task_dir / "index", index.encode())
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    files.replace(paths.pinned_kernel, b"6.8.4-2-pve\n")
    found = figures()
    assert found["pvefw_tasks", ("status", "failed")] == 1
    assert found["pvefw_esp_in_step", ("uuid", "5678-EF01")] == 0
    assert found["pvefw_kernel_pinned", ("boots", "always"), ("version", "6.8.4-2-pve")] == 1


def test_what_cannot_be_found_out_is_left_out(paths, figures, monkeypatch):
    def break_(_paths, _now):
        raise ProviderError("no answer")

    for part in ("certificates", "tasks", "boot", "guests"):
        monkeypatch.setitem(status.PARTS, part, break_)
    files.replace(paths.proxy_certificate, b"damaged")
    found = figures()
    assert found["pvefw_part_ok", ("part", "guests")] == 0
    names = {sample[0] for sample in found}
    assert not names & {"pvefw_tasks", "pvefw_guests", "pvefw_not_deployed", "x509_cert_not_after"}


def test_a_textfile_is_replaced_and_can_be_read_by_others(paths, tmp_path):
    target = tmp_path / "pvefw.prom"
    target.write_text("older")
    arguments = ["--root", str(paths.root), "--node", "pve1", "metrics", "--textfile", str(target)]
    assert run(arguments) == 0
    assert parsed(target.read_text())["pvefw_part_ok", ("part", "tasks")] == 1
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["pvefw.prom"]


def test_where_a_certificate_is_served(paths, figures):
    install(paths)
    files.replace(paths.node_pvefw_cfg(), b"serves: a.example:443;b.example:25,starttls=smtp\n")
    told = json.dumps({"b.example:25": {"reason": "no answer", "told": None}})
    files.replace(Certificate.own(Node.open(paths)).files.served, told.encode())
    found = figures()
    labels = ("certificate", "pveproxy")
    assert found["pvefw_served_ok", ("address", "a.example:443"), labels] == 1
    assert found["pvefw_served_ok", ("address", "b.example:25"), labels] == 0


@pytest.mark.parametrize("cron", [True, False])
def test_the_timer_writes_the_textfile(paths, cron):
    where = ["--root", str(paths.root), "--node", "pve1", "metrics"]
    way = "--cron" if cron else "--systemd"
    assert run([*where, "install-timer", way, "--textfile", "/srv/pvefw.prom"]) == 0
    units = paths.root / "etc/systemd/system"
    written = paths.below(timer_of_figures.CRON) if cron else units / "pvefw-metrics.service"
    assert " metrics --textfile /srv/pvefw.prom\n" in written.read_text()
    assert cron or "OnCalendar=*:0/5" in (units / "pvefw-metrics.timer").read_text()


@pytest.mark.parametrize("name", ["relative.prom", "/srv/a b.prom", "/srv/pvefw.txt"])
def test_a_textfile_that_no_unit_can_name(paths, name):
    with pytest.raises(UsageError, match=r"ends with \.prom"):
        timer_of_figures.install(paths, Path(name), lambda _said: None, cron=True)


def test_every_figure_of_the_dashboard_and_the_alerts_is_exported(paths):
    registered = figures_of(paths)
    dashboard = (ROOT / "share/grafana/pvefw.json").read_text()
    shown = [
        target["expr"] for panel in json.loads(dashboard)["panels"] for target in panel["targets"]
    ]
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    for text in [*shown, *(rule["expr"] for rule in group["rules"])]:
        used = set(re.findall(r"\b(?:pvefw|x509)_\w+", text))
        assert used, text
        assert used <= registered, text
    assert "pvefw_build_info" in dashboard


def figures_of(paths):
    """The names of all figures, whether or not this node has any of a kind."""
    install(paths)
    timer.install(paths, lambda _said: None, cron=True)
    exposed = exposition(paths, datetime.now(UTC)).decode()
    return {family.name for family in text_string_to_metric_families(exposed)}


# --- the alerts -------------------------------------------------------------------------------------

HOUR, DAY = 3600, 86400
NOW = 4 * HOUR
"""What the simulated clock shows in the end."""
CERTIFICATE = '{instance="a", filename="f"}'
WELL = {
    f"x509_cert_not_before{CERTIFICATE}": -10 * DAY,
    f"x509_cert_not_after{CERTIFICATE}": 80 * DAY,
    f"x509_cert_expired{CERTIFICATE}": 0,
    f"pvefw_certificate_revoked{CERTIFICATE}": 0,
    f"pvefw_renewal_failures{CERTIFICATE}": 0,
    f"pvefw_renewal_due_timestamp_seconds{CERTIFICATE}": 50 * DAY,
    'pvefw_renewal_timer_installed{instance="a"}': 1,
    'pvefw_not_deployed{instance="a"}': 0,
    'pvefw_served_ok{instance="a", address="h", certificate="c"}': 1,
    'pvefw_esp_in_step{instance="a", uuid="u"}': 1,
    'pvefw_last_look_timestamp_seconds{instance="a"}': NOW,
}
"""A healthy node."""
STATES = {
    "": {},
    "CertificateExpired": {f"x509_cert_expired{CERTIFICATE}": 1},
    "CertificateEndsSoon": {f"x509_cert_not_after{CERTIFICATE}": DAY // 2},
    "CertificateRevoked": {f"pvefw_certificate_revoked{CERTIFICATE}": 1},
    "RenewalFails": {f"pvefw_renewal_failures{CERTIFICATE}": 3},
    "RenewalOverdue": {f"pvefw_renewal_due_timestamp_seconds{CERTIFICATE}": -DAY},
    "NoRenewalTimer": {'pvefw_renewal_timer_installed{instance="a"}': 0},
    "CertificateNotDeployed": {'pvefw_not_deployed{instance="a"}': 1},
    "ServedWrong": {'pvefw_served_ok{instance="a", address="h", certificate="c"}': 0},
    "EspOutOfStep": {'pvefw_esp_in_step{instance="a", uuid="u"}': 0},
    "FiguresAreOld": {'pvefw_last_look_timestamp_seconds{instance="a"}': 0},
}
"""What is different where an alert fires, and no other does."""


def test_every_alert_has_its_state():
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [state for state in STATES if state]


RULE_TEST = {"rule_files": [str(RULES)], "evaluation_interval": "5m"}


@uses("program")
def promtool(*arguments):
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus has it")
def test_alerts_fire_on_their_states_and_only_there(tmp_path):
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    tests = [_test(state, changes, group["rules"]) for state, changes in STATES.items()]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({**RULE_TEST, "tests": tests}))
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def _test(state, changes, rules):
    """One state of a node for some hours; of each alert, whether it fires then."""
    series = [
        {"series": name, "values": f"{value}+0x50"} for name, value in (WELL | changes).items()
    ]
    return {
        "name": state or "healthy",
        "interval": "5m",
        "input_series": series,
        "alert_rule_test": [
            {
                "eval_time": f"{NOW}s",
                "alertname": rule["alert"],
                "exp_alerts": [_alert(rule, changes)] if rule["alert"] == state else [],
            }
            for rule in rules
        ],
    }


def _alert(rule, changes):
    """What Prometheus makes of a rule that fires: an alert has the labels of its series, but its name."""
    [(name, value)] = changes.items()
    labels = dict(re.findall(r'(\w+)="(\w+)"', name))
    summary = rule["annotations"]["summary"].replace("{{ $value }}", str(value))
    for key, text in labels.items():
        summary = summary.replace(f"{{{{ $labels.{key} }}}}", text)
    return {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": {"summary": summary}}

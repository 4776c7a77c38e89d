"""``pvefw status``: each part by itself, whatever happens to the others."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta

import certificates
import pytest

from pvefw import instances
from pvefw.boot import hooks
from pvefw.certs import following, renewal_rule
from pvefw.certs import timer as timers
from pvefw.cli import status, status_parts
from pvefw.cli.run import run
from pvefw.core.errors import ProviderError
from pvefw.guests import units as guest_units
from pvefw.host import programs
from pvefw.store import files, units
from pvefw.tasks import archive
from pvefw_api_server import units as service_units
from pvefw_metrics import timer as timer_of_figures

UPID = "UPID:pve1:00010D94:001CA6EA:{:08X}:vzdump:{}:root@pam:"


@pytest.fixture
def pvefw(paths, capsys, monkeypatch):
    monkeypatch.setattr(status, "_SECONDS", 120.0)  # a machine may be busy

    def do(*arguments):
        done = run(["--root", str(paths.root), "--node", "pve1", "status", *arguments])
        captured = capsys.readouterr()
        assert captured.err == ""
        return done, captured.out

    return do


@pytest.fixture
def parts(pvefw):
    def do():
        done, out = pvefw("--output-format", "json")
        found = json.loads(out)
        assert found["ok"] == (done == 0)
        return done, found["parts"]

    return do


def test_it_says_where_older_tasks_are_missing(paths, parts, monkeypatch):
    monkeypatch.setattr(archive, "SMALL", 0)
    monkeypatch.setattr(archive, "AT_ONCE", 100)
    monkeypatch.setattr(programs, "start_pvefw", lambda *_arguments: None)
    paths.task_dir.mkdir(parents=True)
    lines = [f"{UPID.format(1000 + at, 100)} {1001 + at:08X} OK\n" for at in range(20)]
    (paths.task_dir / "index").write_text("".join(lines))
    _, found = parts()
    assert any("older tasks are not listed" in line for line in found["tasks"]["lines"])


def test_a_node_without_anything_is_well(pvefw, parts):
    done, found = parts()
    assert done == 0
    assert {name: value["state"] for name, value in found.items()} == {
        "certificates": "none",
        "served": "none",
        "credentials": "none",
        "records": "none",
        "tasks": "ok",
        "boot": "none",
        "guests": "none",
        "ksm": "none",
        "units": "none",
    }
    done, out = pvefw()
    assert (done, len(out.splitlines())) == (0, 10)


# --- certificates -----------------------------------------------------------------------------------


def install(paths, age=0):
    pem, key = certificates.self_signed(begin=-age, days=90)
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)
    paths.node_config().write_text("acmedomain0: pve1.example\n")
    timers.install(paths, lambda _said: None, cron=True)
    program = paths.below(units.program().split()[0].lstrip("/"))
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch()


def test_a_certificate_and_when_it_is_renewed(paths, parts):
    install(paths)
    done, found = parts()
    (certificate,) = found["certificates"]["data"]["certificates"]
    assert (done, found["certificates"]["state"]) == (0, "ok")
    assert certificate["names"] == ["pve1.example"]
    assert datetime.now(UTC) < datetime.fromisoformat(certificate["due"])
    assert "not due until" in found["certificates"]["lines"][0]


def test_a_certificate_that_runs_out(paths, parts):
    install(paths, age=80)
    done, found = parts()
    assert (done, found["certificates"]["state"]) == (1, "attention")
    assert found["certificates"]["lines"][0].endswith("[warning]")


def test_a_renewal_that_failed(paths, parts):
    install(paths, age=65)
    from pvefw.certs import chain

    info = chain.describe(paths.proxy_certificate, paths.proxy_certificate.read_bytes())
    record = renewal_rule.record_of(paths, info)
    now = datetime.now(UTC)
    renewal_rule.keep(paths, info, record.failed("the CA is away", info, now, None))
    done, found = parts()
    assert (done, found["certificates"]["state"]) == (1, "attention")
    assert "the CA is away" in found["certificates"]["lines"][0]


@pytest.mark.parametrize(
    ("file", "text", "runs"),
    [
        ("etc/cron.d/mine", "0 3 * * * root /usr/local/bin/pvefw renew\n", True),
        ("etc/crontab", "0 3 * * * root /usr/local/bin/pvefw --node pve1 renew >/dev/null\n", True),
        ("etc/crontab", "# 0 3 * * * root pvefw renew\n", False),
        ("etc/cron.d/mine", "0 3 * * * root certbot renew\n", False),
        ("etc/systemd/system/timers.target.wants/pvefw-renew.timer", "", True),
        ("etc/systemd/system/pvefw-renew.timer", "", False),
    ],
)
def test_whether_something_renews_by_itself(paths, parts, file, text, runs):
    install(paths)
    paths.below("etc/cron.d/pvefw").unlink()
    paths.below(file).parent.mkdir(parents=True, exist_ok=True)
    paths.below(file).write_text(text)
    done, found = parts()
    assert found["certificates"]["data"]["timer"] is runs
    assert (done, found["certificates"]["state"]) == ((0, "ok") if runs else (1, "attention"))
    advice = "pvefw renew install-timer" in found["certificates"]["lines"][-1]
    assert advice is not runs


def test_an_expired_certificate_says_since_when(paths, parts):
    install(paths, age=91)
    done, found = parts()
    end = datetime.fromisoformat(found["certificates"]["data"]["certificates"][0]["not-after"])
    assert done == 1
    assert f"expired since {end:%Y-%m-%d %H:%M} UTC; due" in found["certificates"]["lines"][0]


# --- for monitoring -----------------------------------------------------------------------------------


FIGURE = re.compile(r"'[^'=]+'=-?[0-9.]+(;[0-9.]*){0,4}")


@pytest.mark.parametrize(
    ("age", "word", "status"),
    [(0, "OK", 0), (80, "WARNING", 1), (86, "CRITICAL", 2), (91, "CRITICAL", 2)],
)
def test_one_line_for_monitoring(paths, pvefw, age, word, status):
    install(paths, age=age)
    done, out = pvefw("--check")
    assert done == status
    line, *_details = out.splitlines()
    said, _, figures = line.partition(" | ")
    assert said.startswith(f"PVEFW {word} - certificates")
    assert re.fullmatch(rf"{FIGURE.pattern}( {FIGURE.pattern})*", figures)
    left = re.search(r"'pveproxy-ssl.pem days left'=(-?[0-9.]+)", figures)
    assert float(left[1]) == pytest.approx(90 - age, abs=0.1)


@pytest.mark.parametrize(("age", "word", "wanted"), [(0, "UNKNOWN", 3), (80, "WARNING", 1)])
def test_what_cannot_be_found_out_is_unknown_unless_something_is_wrong(
    paths, pvefw, monkeypatch, age, word, wanted
):
    install(paths, age=age)

    def break_(_paths, _now):
        raise ProviderError("a | b")

    monkeypatch.setitem(status.PARTS, "guests", break_)
    done, out = pvefw("--check")
    assert (done, out.count("|")) == (wanted, 1)
    assert out.startswith(f"PVEFW {word} - ")
    assert "guests: a / b" in out


def test_the_line_for_monitoring_is_short_and_the_details_follow(monkeypatch, pvefw):
    def bad(_paths, _now):
        return status_parts.Part(
            status_parts.ATTENTION, ["word " * 200, "more"], issues=["word " * 200, "more"]
        )

    for part in ("boot", "ksm", "tasks"):
        monkeypatch.setitem(status.PARTS, part, bad)
    _, out = pvefw("--check")
    line, *details = out.splitlines()
    assert len(line.partition(" | ")[0]) < 400
    assert "boot: more" in details


def test_only_some_parts(paths, pvefw):
    install(paths, age=80)
    assert pvefw("tasks", "ksm", "--check")[0] == 0
    assert pvefw("certificates", "--check")[0] == 1
    done, out = pvefw("tasks", "--output-format", "json")
    assert (done, list(json.loads(out)["parts"])) == (0, ["tasks"])


# --- credentials --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [(400, 0, "mine: expires on "), (20, 1, "pvefw acme plugin login mine"), (-1, 1, "expired on")],
)
def test_credentials_that_expire(paths, parts, days, status, said):
    end = datetime.now(UTC) + timedelta(days=days)
    keys = {"OVH_AK": "a", "OVH_AS": "b", "OVH_CK": "c", "OVH_CK_EXPIRES": end.isoformat()}
    for id_ in ("mine", "unused"):
        instances.add(paths, instances.Instance("dns", id_, "ovh", keys))
    paths.node_config().parent.mkdir(parents=True, exist_ok=True)
    paths.node_config().write_text("acmedomain0: pve1.example,plugin=mine\n")
    done, found = parts()
    assert (done, found["credentials"]["state"]) == (status, "attention" if status else "ok")
    [line] = found["credentials"]["lines"]
    assert said in line
    assert list(found["credentials"]["data"]["expires"]) == ["mine"]


# --- tasks, boot, guests, KSM -------------------------------------------------------------------------


def test_failed_tasks_of_the_last_day(paths, parts):
    now = int(datetime.now(UTC).timestamp())
    tasks = [
        (now - 90000, 100, "job errors"),
        (now - 3600, 101, "job errors"),
        (now - 60, 102, "OK"),
    ]
    paths.task_dir.mkdir(parents=True)
    (paths.task_dir / "index").write_text(
        "".join(f"{UPID.format(at, vmid)} {at + 5:08X} {how}\n" for at, vmid, how in tasks)
    )
    done, found = parts()
    assert (done, found["tasks"]["state"]) == (1, "attention")
    assert [task["id"] for task in found["tasks"]["data"]["failed"]] == ["101"]
    assert found["tasks"]["lines"] == [
        "1 failed in the last day, 0 running",
        f"{UPID.format(now - 3600, 101)} job errors",
    ]


def test_esps_and_pins(paths, parts):
    paths.kernel_dir.mkdir(parents=True)
    paths.esp_uuids.write_text("1234-ABCD\n5678-EF01\n")
    paths.pinned_kernel.write_text("6.8.4-2-pve\n")
    device = paths.below("dev/disk/by-uuid/1234-ABCD")
    device.parent.mkdir(parents=True)
    device.touch()
    done, found = parts()
    assert (done, found["boot"]["state"]) == (1, "attention")
    assert found["boot"]["lines"] == [
        "ESP 1234-ABCD: in place",
        "ESP 5678-EF01: not found",
        "pinned: 6.8.4-2-pve",
    ]


def test_a_backend_that_is_not_installed(paths, parts):
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    paths.cluster_pvefw_cfg.write_text("guest: nosuch\n")
    done, found = parts()
    assert (done, found["guests"]["state"]) == (1, "failed")
    assert "nosuch" in found["guests"]["lines"][0]


def test_what_merging_saves(paths, parts):
    paths.ksm.mkdir(parents=True)
    for name, value in {"run": 1, "pages_sharing": 512}.items():
        (paths.ksm / name).write_text(f"{value}\n")
    done, found = parts()
    assert (done, found["ksm"]["lines"]) == (0, ["running, 2.0 MiB saved; no service"])


# --- a part that fails ----------------------------------------------------------------------------------


def hangs(_paths, _now):
    threading.Event().wait()


def refuses(_paths, _now):
    raise ProviderError("the daemon is away", hint="Start it.")


def breaks(_paths, _now):
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        (refuses, ["the daemon is away", "Start it."]),
        (breaks, ["internal error: ZeroDivisionError: oh"]),
    ],
)
@pytest.mark.parametrize("part", list(status.PARTS))
def test_the_others_are_as_they_would_be_without_it(monkeypatch, parts, part, how, lines):
    monkeypatch.setattr(status, "PARTS", {**status.PARTS, part: how})
    done, found = parts()
    assert done == 1
    assert found[part] == {"state": "failed", "lines": lines, "data": {}}
    assert {value["state"] for name, value in found.items() if name != part} <= {"ok", "none"}


def test_a_part_that_hangs_is_left_behind(monkeypatch, parts):
    well = dict.fromkeys(status.PARTS, lambda _paths, _now: status_parts.Part("none", ["nothing"]))
    monkeypatch.setattr(status, "PARTS", {**well, "guests": hangs})
    monkeypatch.setattr(status, "_SECONDS", 3.0)
    done, found = parts()
    assert done == 1
    assert found["guests"]["lines"] == ["no answer within 3 seconds"]
    assert [name for name, value in found.items() if value["state"] != "none"] == ["guests"]


# --- units ------------------------------------------------------------------------------------------


def units_of(parts):
    return parts()[1]["units"]


@pytest.fixture
def timer(paths, capsys):
    """The renewal timer, written into the tree and enabled there."""
    run(["--root", str(paths.root), "--node", "pve1", "renew", "install-timer", "--systemd"])
    capsys.readouterr()
    folder = paths.below("etc/systemd/system")
    program = units.program().partition(" ")[0]
    for wants, name in (("timers", "pvefw-renew.timer"), ("multi-user", "pvefw-recover.service")):
        (folder / f"{wants}.target.wants").mkdir()
        (folder / f"{wants}.target.wants" / name).symlink_to(f"../{name}")
    place = paths.below(program.lstrip("/"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    return folder / "pvefw-renew.timer", place


def test_units_that_would_run_are_well(parts, timer):
    assert units_of(parts)["state"] == "ok"
    assert "pvefw-renew.timer" in units_of(parts)["lines"][0]


def test_a_timer_that_is_not_enabled(parts, timer):
    (timer[0].parent / "timers.target.wants/pvefw-renew.timer").unlink()
    assert units_of(parts)["state"] == "attention"
    assert units_of(parts)["data"]["problems"] == [
        "pvefw-renew.timer is not enabled; run: systemctl enable --now pvefw-renew.timer"
    ]


def test_a_timer_that_is_masked(parts, timer):
    timer[0].unlink()
    timer[0].symlink_to("/dev/null")
    assert units_of(parts)["data"]["problems"] == [
        "pvefw-renew.timer is masked; run: systemctl unmask pvefw-renew.timer"
    ]


def test_a_unit_whose_program_has_gone(parts, timer):
    timer[1].unlink()
    found = units_of(parts)
    assert found["state"] == "attention"
    assert any("which does not exist; install it again" in line for line in found["lines"])


def test_what_another_release_wrote_is_reported(paths, parts, timer):
    """An upgrade replaces a package's own files, and not what hides them."""
    installed = [f"etc/systemd/system/{name}" for name in timers.texts("") if "scripts" not in name]
    of_plugins = (service_units.texts, timer_of_figures.texts)
    for texts in (hooks.texts, guest_units.texts, following.texts, hooks.scripts, *of_plugins):
        place = "" if texts is hooks.scripts else "etc/systemd/system/"
        for name, text in texts("/usr/bin/pvefw --debug").items():
            installed.append(f"{place}{name}")
            files.replace(paths.below(f"{place}{name}"), text.encode())

    def reported():
        return [line for line in units_of(parts)["data"]["problems"] if "this release" in line]

    assert reported() == []
    for name in installed:
        path = paths.below(name)
        before = path.read_bytes()
        path.write_bytes(before + b"# of an earlier release\n")
        [said] = reported()
        assert str(path) in said and "write it again: pvefw " in said
        path.write_bytes(before)


def test_units_of_other_distributions_are_looked_at(paths, parts):
    unit_texts = timer_of_figures.texts("/usr/bin/gone metrics --textfile /srv/x.prom")
    for name, text in unit_texts.items():
        files.replace(paths.below(f"etc/systemd/system/{name}"), text.encode())
    assert units_of(parts)["data"] == {
        "installed": ["pvefw-metrics.service", "pvefw-metrics.timer"],
        "problems": [
            "pvefw-metrics.service runs /usr/bin/gone, which does not exist; install it again",
            "pvefw-metrics.timer is not enabled; run: systemctl enable --now pvefw-metrics.timer",
        ],
    }


def test_a_line_for_cron_whose_program_has_gone(paths, parts):
    cron = paths.below("etc/cron.d/pvefw")
    cron.parent.mkdir(parents=True)
    cron.write_text("7 1,7 * * * root /usr/local/gone/pvefw renew >/dev/null\n")
    assert units_of(parts)["lines"] == [
        "etc/cron.d/pvefw runs /usr/local/gone/pvefw, which does not exist; install it again"
    ]


def test_a_line_for_cron_runs_a_program_of_this_machine(paths, parts):
    cron = paths.below("etc/cron.d/pvefw")
    cron.parent.mkdir(parents=True)
    cron.write_text("7 1,7 * * * root /bin/sh renew >/dev/null\n")
    assert "problems" in units_of(parts)["data"]
    assert units_of(parts)["data"]["problems"] == []


def test_of_another_node_the_machine_is_not_asked(paths, parts, timer):
    paths.below("etc/hostname").write_text("pve9\n")
    done, found = parts()
    assert done == 0
    for name in ("boot", "guests", "ksm", "units"):
        assert found[name]["lines"] == ["this machine is pve9: ask pve1 itself"]

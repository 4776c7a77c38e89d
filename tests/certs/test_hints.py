"""What messages about certificates advise is a command that does it."""

import shlex

import pytest
from certificates import NOW

from pvefw.certs import old_timers, persist
from pvefw.cli import suggestions
from pvefw.store import node_settings, persistent_records
from pvefw.store.persistent_records import Kept


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        ({}, "show a.example"),
        ({"wildcard": True}, "show a.example --wildcard"),
        ({"plugin": "zone"}, "publish a.example --plugin zone"),
        (
            {"plugin": "zone", "alias": "b.example", "wildcard": True},
            "publish a.example --plugin zone --alias b.example --wildcard",
        ),
        (
            {"plugin": "zone", "account": "other"},
            "publish a.example --plugin zone --account other",
        ),
        ({"account": "other"}, "show a.example --account other"),
    ],
)
def test_a_persistent_record_is_made_again_as_it_was(paths, fields, again):
    kept = Kept(
        **{"domain": "a.example", "text": "t", "account": "mine", "thumbprint": "x"} | fields
    )
    node_settings.change(paths, {"acme": "account=mine"})
    persistent_records.keep(paths, kept)
    [line] = persist.warnings(paths, NOW)
    assert line == (
        f"a.example: its persistent record names a key that the account {kept.account} no longer "
        f"has; replace it: pvefw acme persist {again}"
    )
    assert suggestions.accepted(["acme", "persist", *shlex.split(again)])


@pytest.mark.parametrize(
    ("table", "client", "remedy"),
    [
        ("etc/cron.d/certbot", "certbot", "remove its line from {}"),
        ("var/spool/cron/crontabs/root", "certbot", "crontab -u root -e"),
        ("var/spool/cron/crontabs/acme", "lego", "crontab -u acme -e"),
        ("var/spool/cron/crontabs/root", "acme.sh", "acme.sh --uninstall-cronjob"),
        ("var/spool/cron/crontabs/acme", "acme.sh", "crontab -u acme -e"),
        ("etc/cron.d/acme", "acme.sh", "remove its line from {}"),
    ],
)
def test_where_another_client_is_switched_off(paths, table, client, remedy):
    path = paths.below(table)
    path.parent.mkdir(parents=True)
    path.write_text(f"# {client}\n17 3 * * * /usr/local/bin/{client} renew\n")
    [line] = old_timers.lines(paths, client)
    assert line == f"{path} still runs {client}; switch it off: {remedy.format(path)}"


def test_what_does_not_run_is_not_switched_off(paths):
    units, table = paths.below("etc/systemd/system"), paths.below("etc/cron.daily/lego")
    for path in (units / "lego.timer", table):
        path.parent.mkdir(parents=True)
        path.write_text("# lego renew\n")
    (units / "lego.service").write_text("[Service]\nExecStart=/usr/bin/lego renew\n")
    [line] = old_timers.lines(paths, "lego")
    assert line == "No timer or cron job of lego was found; check for one yourself"
    (units / "timers.target.wants").mkdir()
    (units / "timers.target.wants/lego.timer").symlink_to(units / "lego.timer")
    assert old_timers.lines(paths, "lego") == [
        "lego.timer still runs lego; switch it off: systemctl disable --now lego.timer"
    ]

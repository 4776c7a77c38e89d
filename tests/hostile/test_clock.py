"""A clock that was years ahead or behind for a while: afterwards all is as it should be, by itself."""

import datetime as dt
import shutil

import pytest
from certificates import NOW, Calendar, Log
from resources import uses
from shifted_clock import needs_the_machines_clock
from whole_host import Host

from pvefw.certs import authority, chain, node_certificate, renew, renewal_rule
from pvefw.core.errors import CertificateError, UsageError
from pvefw.store import files, node_settings

DAY = dt.timedelta(days=1)
YEARS = 12 * 365 * DAY


@pytest.fixture
def node(paths):
    """A node with a CA and a certificate of its own."""
    files.replace(paths.below("etc/hosts"), b"192.0.2.11 pve1.example.com pve1\n")
    node_settings.change(paths, {"reload-command": "-"})
    node_certificate.refresh(paths, Log(), NOW)
    return paths


def renewed(paths, now):
    said = []
    good = renew.run(paths, said.append, said.append, Calendar(now))
    return good, "\n".join(said)


def pair(paths):
    return paths.authority_certificate.read_bytes(), paths.node_certificate.read_bytes()


def leaf(paths):
    return chain.parse(paths.node_certificate.read_bytes(), "leaf")[0]


@pytest.mark.parametrize("shift", [YEARS, -YEARS, 20 * YEARS], ids=["ahead", "behind", "far"])
def test_renewals_at_a_clock_that_is_wrong_change_nothing(node, shift):
    before = pair(node)
    for again in range(3):
        _, said = renewed(node, NOW + shift + again * DAY / 4)
        assert "by this host's clock" in said or "check this host's clock" in said or again
    assert pair(node) == before
    assert renewed(node, NOW)[0] is True
    assert pair(node) == before


def test_the_ca_is_replaced_at_the_second_look_only(node):
    """A look at a clock that is ahead would do what nothing undoes."""
    later, before = NOW + 3200 * DAY, node.authority_certificate.read_bytes()
    for moment in (later, later + DAY / 2, NOW, later + 2 * DAY):
        renewed(node, moment)
        assert node.authority_certificate.read_bytes() == before
    renewed(node, later + 3 * DAY)
    assert len(chain.parse(node.authority_certificate.read_bytes(), "ca")) == 2


def test_the_old_ca_is_trusted_until_a_second_look_too(node):
    authority.roll_over(node, Log(), NOW + 2000 * DAY)
    ended = NOW + 3651 * DAY
    renewed(node, ended)
    assert len(chain.parse(node.authority_certificate.read_bytes(), "ca")) == 2
    renewed(node, ended + DAY)
    assert len(chain.parse(node.authority_certificate.read_bytes(), "ca")) == 1


def test_a_certificate_from_the_future_is_made_once_more(node):
    node_certificate.refresh(node, Log(), NOW + 1500 * DAY)
    assert leaf(node).not_valid_before_utc > NOW + 1000 * DAY
    good, said = renewed(node, NOW)
    assert good
    assert "it is not valid before" in said
    assert leaf(node).not_valid_before_utc <= NOW < leaf(node).not_valid_after_utc


def test_a_ca_that_has_ended_signs_nothing_and_is_replaced(node):
    """Its end is no fault inside; what it says of its successor nobody believes any more."""
    late = NOW + YEARS
    with pytest.raises(CertificateError, match="by this host's clock") as caught:
        node_certificate.refresh(node, Log(), late, force=True)
    assert "pvefw cert ca rollover" in caught.value.hint
    authority.roll_over(node, Log(), late)
    assert not node.authority_cross.exists()
    node_certificate.refresh(node, Log(), late, force=True)
    assert leaf(node).not_valid_after_utc > late


def test_a_ca_from_the_future_can_be_replaced_although_it_replaces_another(node):
    authority.roll_over(node, Log(), NOW + 2000 * DAY)
    with pytest.raises(UsageError, match="already"):
        authority.roll_over(node, Log(), NOW + 2000 * DAY)
    said = renewed(node, NOW)[1]
    assert "check this host's clock" in said
    made = authority.roll_over(node, Log(), NOW)
    assert made.certificate.not_valid_before_utc <= NOW
    node_certificate.refresh(node, Log(), NOW)
    assert leaf(node).not_valid_before_utc <= NOW


def test_what_was_put_off_while_the_clock_was_ahead_is_not_put_off(node):
    info = chain.describe(node.node_certificate, node.node_certificate.read_bytes())
    record = renewal_rule.Record().failed("no", info, NOW + YEARS, None)
    assert record.held_back(NOW + YEARS)
    assert not record.held_back(NOW)
    told = renewal_rule.Record(told=NOW + YEARS, told_urgency="expired")
    assert told.to_be_told(renewal_rule.Urgency.NOTICE, NOW)


@uses("program")
@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
def test_the_programs_themselves(tmp_path):
    """Real processes: 12 years ahead, 12 years back, and now again."""
    needs_the_machines_clock("libfaketime shifts it once")
    host = Host(tmp_path / "root")
    (host.root / "etc").mkdir()
    (host.root / "etc/hosts").write_text("192.0.2.11 pve1.example.com pve1\n")
    host.run("config", "set", "--reload-command", "-")
    host.run("cert", "node", "refresh")
    before = pair(host.paths)
    for shift in ("+12y", "-12y"):
        shifted = Shifted(host.root, shift)
        assert "clock" in "".join(vars(shifted.try_("renew"))["stdout"])
        assert "clock" in shifted.fail("cert", "node", "refresh", "--force")
        shifted.try_("status")
    assert pair(host.paths) == before
    host.run("renew")
    host.run("renew", "install-timer", "--cron")
    assert "attention" not in host.try_("status").stdout.partition("credentials")[0]


class Shifted(Host):
    def __init__(self, root, shift):
        super().__init__(root)
        self.shift = shift

    def command(self, *arguments):
        return ["faketime", "-f", self.shift, *super().command(*arguments)]


def test_tasks_of_the_future_are_no_failures_of_the_last_day(paths, monkeypatch, capsys):
    from pvefw.cli.run import run
    from pvefw.tasks.task import run_task

    with pytest.raises(ValueError), run_task(paths, "x", clock=Calendar(NOW + YEARS)):
        raise ValueError
    run(["status", "--root", str(paths.root), "--node", paths.node])
    assert "0 failed in the last day" in capsys.readouterr().out

"""The exit statuses of docs/admin.md: done, failed, to be done, nothing to do."""

import re

import certificates
import pytest
from environments import ROOT

from pvefw.certs import chain, deploy, renew, renewal_rule
from pvefw.cli import exit_codes
from pvefw.cli.run import run
from pvefw.store import files


@pytest.fixture
def pvefw(paths):
    def do(*arguments):
        return run(["--root", str(paths.root), "--node", "pve1", *arguments])

    return do


def install(paths, age):
    pem, key = certificates.self_signed(begin=-age, days=90)
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key)
    files.replace(paths.node_config(), b"acmedomain0: pve1.example\n")
    return chain.describe(paths.proxy_certificate, pem)


@pytest.mark.parametrize(
    ("age", "status"), [(1, exit_codes.NOTHING), (80, exit_codes.PENDING)], ids=["new", "old"]
)
def test_renew(paths, pvefw, age, status):
    install(paths, age)
    assert pvefw("renew", "--dry-run", "--detailed-exitcode") == status
    assert pvefw("renew", "--dry-run") == 0


def test_renew_that_fails_then_waits(paths, pvefw):
    info = install(paths, 80)
    assert pvefw("renew", "--detailed-exitcode") == exit_codes.FAILED
    assert renewal_rule.record_of(paths, info).failures == 1
    assert pvefw("renew", "--detailed-exitcode") == exit_codes.PENDING


def test_renew_that_renews(paths, pvefw, monkeypatch):
    install(paths, 80)
    monkeypatch.setattr(renew, "_renew", lambda *_: True)
    assert pvefw("renew", "--detailed-exitcode") == exit_codes.DONE


def test_cert_deploy(paths, pvefw):
    install(paths, 1)
    detailed = ["cert", "deploy", "--detailed-exitcode"]
    assert pvefw(*detailed, "--dry-run") == exit_codes.NOTHING
    deploy.prepare(certificates.own(paths))  # as before an installation: nobody knows it yet
    assert pvefw(*detailed, "--dry-run") == exit_codes.PENDING
    assert pvefw(*detailed) == exit_codes.DONE
    assert pvefw(*detailed, "--retry") == exit_codes.NOTHING
    files.replace(paths.node_pvefw_cfg(), b"reload-command: false\n")
    assert pvefw(*detailed) == exit_codes.FAILED


def test_boot_refresh_where_nothing_is_managed(pvefw):
    assert pvefw("boot", "refresh", "--dry-run", "--detailed-exitcode") == exit_codes.NOTHING


def test_the_table_of_the_guide_has_the_statuses():
    text = (ROOT / "docs/admin.md").read_text()
    table = re.findall(r"^\| (\d) \|", text[text.index("--detailed-exitcode") :], re.MULTILINE)
    assert [int(cell) for cell in table[:5]] == [
        exit_codes.DONE,
        exit_codes.FAILED,
        2,
        exit_codes.PENDING,
        exit_codes.NOTHING,
    ]

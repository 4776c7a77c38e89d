"""``--trace-plugins``: what was called, with which arguments, what came of it; never a secret."""

import os
import re
import subprocess
import sys
import threading

import pytest

from pvefw.core import binding, trace
from pvefw.core.errors import CredentialsRejected, PluginFailed, ProviderError
from pvefw.core.families import DNS
from pvefw.core.hookspecs import hookimpl
from pvefw.core.masking import MASK
from pvefw.core.model import TxtRecord
from pvefw.instances import Instance, instance_binding
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

SECRET = "s3cr3t-token"


class Provider:
    """Does what its zone is called."""

    @hookimpl
    def dns_add(self, zone, records, task):
        if zone == "refuse.":
            raise CredentialsRejected(f"{SECRET} is not allowed")
        if zone == "fail.":
            raise KeyError(SECRET)
        task.log(f"using {SECRET}")

    @hookimpl
    def dns_remove(self): ...

    @hookimpl
    def dns_login(self, task):
        return {"consumer_key": "a-new-secret"}


@pytest.fixture
def traced(monkeypatch):
    monkeypatch.setattr(trace, "_active", True)


@pytest.fixture
def hooks(traced):
    return binding.bind_object(DNS, Provider(), "mine", secrets=[SECRET]).hooks


def add(hooks, zone, value="value"):
    records = [TxtRecord(f"_acme-challenge.{zone}", value)]
    return hooks.dns_add(zone=zone, records=records, task=FakeTask())


def test_a_call_has_two_lines(hooks, capsys):
    add(hooks, "good.")
    began, ended = capsys.readouterr().err.splitlines()
    number, call = re.fullmatch(r"hook (\d+): (.*)", began).groups()
    assert call == (
        "dns/mine.dns_add(zone='good.', "
        "records=[TxtRecord(name='_acme-challenge.good.', value='value', ttl=60)], task=…)"
    )
    returned = rf"hook {number}: dns/mine\.dns_add returned None after \d+\.\d{{3}} s"
    assert re.fullmatch(returned, ended)


@pytest.mark.parametrize(
    ("zone", "error", "said"),
    [
        ("refuse.", CredentialsRejected, "raised CredentialsRejected('mine: "),
        ("fail.", PluginFailed, "raised PluginFailed("),
    ],
)
def test_an_error_is_shown_without_the_secret(hooks, capsys, zone, error, said):
    with pytest.raises(error):
        add(hooks, zone)
    shown = capsys.readouterr().err
    assert said in shown
    assert MASK in shown
    assert SECRET not in shown


def test_secrets_among_the_arguments_and_settings_that_are_returned(hooks, capsys):
    add(hooks, "good.", SECRET)
    assert hooks.dns_login(task=FakeTask(), zones=[]) == {"consumer_key": "a-new-secret"}
    shown = capsys.readouterr().err
    assert "returned settings ['consumer_key']" in shown
    assert SECRET not in shown
    assert "a-new-secret" not in shown


def test_a_catalogue_that_gets_secrets(traced, capsys, install, tmp_path):
    install(
        "dns_catalog",
        "many",
        """
        from dataclasses import dataclass
        from pvefw.api import CatalogEntry, ProviderError, SettingInfo, hookimpl

        @dataclass
        class Plugin:
            @hookimpl
            def catalog_names(self):
                return ["acmecorp"]

            @hookimpl
            def catalog_entry(self, name):
                return CatalogEntry(name, name, [SettingInfo("token", "It.", secret=True)])

            @hookimpl
            def catalog_make(self, name, values):
                raise ProviderError(f"cannot make it of {values}")
        """,
    )
    with pytest.raises(ProviderError) as caught:
        instance = Instance("dns", "mine", "many/acmecorp", {"token": SECRET})
        instance_binding.bind(Node.open(Paths(tmp_path, "pve1")), instance)
    shown = capsys.readouterr().err
    call = f"dns_catalog/many.catalog_make(name='acmecorp', values={{'token': '{MASK}'}}, root="
    assert call in shown
    assert SECRET not in shown + str(caught.value)


def test_lines_of_calls_side_by_side_stay_whole(traced, capfd):
    bounds = [binding.bind_object(DNS, Provider(), f"i{n}") for n in range(8)]
    threads = [
        threading.Thread(
            target=lambda call=bound: [add(call.hooks, "good.", "x" * 1500) for _ in "ab"]
        )
        for bound in bounds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 32
    assert all(
        re.fullmatch(r"hook \d+: dns/i\d\.dns_add(\(.*\)| returned .* s)", line) for line in lines
    )


def test_what_is_long_is_cut(hooks, capsys):
    add(hooks, "good.", "y" * 5000)
    assert max(map(len, capsys.readouterr().err.splitlines())) < 2200


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--trace-plugins"], {}, True),
        ([], {"PVEFW_TRACE_PLUGINS": "1"}, True),
        ([], {"PVEFW_TRACE_PLUGINS": "0"}, False),
        ([], {}, False),
    ],
)
def test_the_option_and_the_variable(tmp_path, node_root, arguments, environment, expected):
    def pvefw(*words):
        where = ["--root", str(node_root), "--node", "pve1"]
        return subprocess.run(
            [sys.executable, "-m", "pvefw", *where, *words],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )

    data = tmp_path / "data"
    data.write_text("program=/bin/true\n")
    pvefw("observer", "add", "it", "--api", "exec", "--data", str(data))
    done = pvefw("observer", "test", "it", *arguments)
    assert ("observer/it.on_notice(event=" in done.stderr) is expected, done.stderr

"""Observers are told, each alone; none of them can stop the work or change how a task ends."""

import base64
import json
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from pvefw.core.errors import UsageError
from pvefw.core.masking import MASK
from pvefw.core.model import BootSyncedEvent
from pvefw.instances.codec import encode_data
from pvefw.store import files
from pvefw.store.node import Node
from pvefw.tasks import events, history
from pvefw.tasks.history import Filter
from pvefw.tasks.task import run_task

CODE = """
    from dataclasses import dataclass
    from pvefw.api import hookimpl, setting
    from pvefw.core.errors import ProviderError

    TOLD = []
    RELEASE = None

    @dataclass
    class Plugin:
        '''For tests.'''

        token: str = setting(help="A token.", secret=True, default="")
        fails: str = setting(help="With which words.", default="")
        hangs: bool = setting(help="Whether it hangs.", default=False)

        @hookimpl
        def on_task(self, event):
            self._do(event)

        @hookimpl
        def on_boot_synced(self, event, task):
            for form in event.kernels:
                task.log(form)
            self._do(event)

        def _do(self, event):
            TOLD.append(event)
            if self.hangs:
                RELEASE.wait()
            if self.fails == "fault":
                raise KeyError(self.token)
            if self.fails:
                raise ProviderError(self.fails)
"""
EVENT = BootSyncedEvent("pve1", ["6.8.12-4-pve"], [], {})


@pytest.fixture
def observer(tmp_path, monkeypatch):
    """The module of an installed observer."""
    info = tmp_path / "site" / "dist_watching-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-watching\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.observer]\nwatching = dist_watching:Plugin\n")
    (info.parent / "dist_watching.py").write_text(textwrap.dedent(CODE))
    monkeypatch.syspath_prepend(str(info.parent))
    import dist_watching

    yield dist_watching
    del sys.modules["dist_watching"]


def configure(paths, **instances):
    """Write observers with these settings; ``None`` for one that is disabled."""
    lines = []
    for id_, values in instances.items():
        lines += [f"observer: {id_}", "\tapi watching"]
        if values is None:
            lines.append("\tdisable 1")
        elif values:
            lines.append(f"\tdata {encode_data(values)}")
        lines.append("")
    files.replace(paths.cluster_pvefw_cfg, "\n".join(lines).encode())


def the_task(paths):
    [found] = history.tasks(paths, Filter())
    return found, list(history.log(paths, found.upid))


def test_a_task_that_ended_is_told_with_its_end(paths, observer):
    configure(paths, a={}, b=None)
    with run_task(paths, "acmenewcert", "id") as task:
        task.warn("hm")
        assert observer.TOLD == []
    [event] = observer.TOLD
    found, _ = the_task(paths)
    assert event.upid == str(task.upid)
    assert (event.node, event.type, event.id, event.user) == (
        "pve1",
        "acmenewcert",
        "id",
        "root@pam",
    )
    assert event.status == "WARNINGS: 1"
    assert event.start == datetime.fromtimestamp(found.upid.start, UTC)
    assert event.end == datetime.fromtimestamp(found.end, UTC)


def test_a_task_that_failed_is_told_too(paths, observer):
    configure(paths, a={})
    with pytest.raises(UsageError, match="no good"), run_task(paths, "x"):
        raise UsageError("no good")
    assert [event.status for event in observer.TOLD] == ["no good"]


def test_what_fails_at_the_end_is_said_and_changes_nothing(paths, observer):
    heard = []
    configure(paths, a={"fails": "mail server is gone"}, b={})
    with run_task(paths, "x", echo=heard.append) as task:
        task.log("working")
    assert len(observer.TOLD) == 2
    assert heard == ["working", "WARN: a: mail server is gone"]
    found, log = the_task(paths)
    assert (found.status, log) == ("OK", ["working", "TASK OK"])


def test_the_works_own_error_is_not_hidden_by_an_observers(paths, observer):
    configure(paths, a={"fails": "mail server is gone"})
    with pytest.raises(UsageError, match="no good"), run_task(paths, "x"):
        raise UsageError("no good")


def test_an_observer_that_fails_in_a_task_is_a_warning_of_it(paths, observer):
    configure(paths, a={"fails": "mail server is gone"}, b={}, c=None)
    with run_task(paths, "x") as task:
        outcomes = events.tell(Node.open(paths), "on_boot_synced", EVENT, task)
    assert outcomes == [events.Outcome("a", "a: mail server is gone"), events.Outcome("b")]
    _, log = the_task(paths)
    assert log == [
        "6.8.12-4-pve",
        "WARN: a: mail server is gone",
        "6.8.12-4-pve",
        "TASK WARNINGS: 1",
    ]


def test_an_observer_that_hangs_is_left_behind(paths, observer, monkeypatch):
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "0.2")
    observer.RELEASE = threading.Event()
    configure(paths, a={"hangs": "1"}, b={})
    try:
        with run_task(paths, "x") as task:
            [failure, *_] = events.tell(Node.open(paths), "on_boot_synced", EVENT, task)
    finally:
        observer.RELEASE.set()
    assert "did not return within 0.2 seconds" in failure.reason


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"observer: a\n\tapi nowhere\n", "no observer plugin named nowhere"),
        (b"observer: a\n\tapi watching\n\tdata %%%\n", "not base64url"),
    ],
)
def test_a_wrong_configuration_is_a_warning(paths, observer, config, said):
    heard = []
    files.replace(paths.cluster_pvefw_cfg, config)
    with run_task(paths, "x", echo=heard.append) as task:
        assert len(events.tell(Node.open(paths), "on_boot_synced", EVENT, task)) == 1
    assert all(said in line for line in heard)
    assert len(heard) == 2
    assert the_task(paths)[0].status == "WARNINGS: 1"


SECRETS = [
    "plain-s3cr3t",
    "with spaces & umlaut ü/+%",
    'quo"ted\\s3cr3t',
    "first s3cr3t\nsecond s3cr3t",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_form_of_a_secret_reaches_the_log(paths, observer, tmp_path, secret):
    (Path(tmp_path) / "token").write_text(secret)
    heard = []
    configure(paths, a={"token": f"file:{tmp_path}/token", "fails": "fault"})
    forms = [
        secret,
        repr(secret),
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        *secret.splitlines(),
    ]
    event = BootSyncedEvent("pve1", [f"sent {form} to them" for form in forms], [], {})
    with run_task(paths, "x", echo=heard.append) as task:
        [failure, *_] = events.tell(Node.open(paths), "on_boot_synced", event, task)
    assert MASK in failure.reason
    everything = "\n".join([*heard, *the_task(paths)[1], failure.reason])
    for form in {*forms, repr(secret)[1:-1]}:
        assert form not in everything

"""The conformance kit of the observer family.

Inherit from :class:`ObserverConformance` and say how to make the plugin, and how to see what reached the
other side::

    class TestCopy(ObserverConformance):
        @pytest.fixture
        def plugin(self, tmp_path):
            return Copy(target=tmp_path / "site.pem")

        @pytest.fixture
        def heard(self, tmp_path):
            path = tmp_path / "site.pem"
            return lambda: path.read_bytes() if path.exists() else None

        @pytest.fixture
        def broken_plugin(self):
            return Copy(target=Path("/no/such/folder/site.pem"))

What it cannot see: what else is on the other side than ``heard`` returns, who may read it there, what
runs on after the hook has returned, and what a plugin prints or hands to other programs.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pvefw import seam
from pvefw.api import (
    BootSyncedEvent,
    CertificateEvent,
    Guest,
    GuestPowerEvent,
    GuestState,
    NoticeEvent,
    ProviderError,
    RenewalFailedEvent,
    RenewalsEvent,
    ServedEvent,
    Severity,
    TaskEvent,
    Urgency,
)
from pvefw.seam import Bound, ObserverSpec, PvefwError
from pvefw.testing._settings import check_help
from pvefw.testing.fakes import FakeTask
from pvefw.testing.surroundings import LOST, served

Heard = Callable[[], object]
"""What has reached the other side until now: anything that can be compared."""

_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_ODD = "line one\nline two; $(exit 1) `exit 1` 'quoted' \"quoted\" <b>&amp;</b> %s {0} Käse"
_KEY = "the-key-itself"
_HOOKS = [name for name in seam.hook_names("observer") if name.startswith("on_")]


class ObserverConformance:
    """What every observer must do. Each failure says in one sentence what is wrong."""

    ignores: Sequence[str] = ()
    """Hooks that the plugin, with the settings of these tests, passes over on purpose."""

    # --- what the author says ---------------------------------------------------------------------

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your plugin, ready to use."
        )

    @pytest.fixture
    def heard(self) -> Heard:
        """Sees what reached the other side. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'heard': return a function that returns what has reached the other "
            "side until now (the messages there, the content of the file that was deployed)."
        )

    @pytest.fixture
    def broken_plugin(self) -> object | None:
        """The plugin where the other side cannot be reached; ``None`` where that cannot be."""
        return None

    @pytest.fixture
    def fresh_plugin(self, plugin: object) -> Callable[[], object]:
        """Makes another instance, as another process would. Override it where a copy does not do."""
        return lambda: dataclasses.replace(plugin)  # type: ignore[type-var]  # plugins are dataclasses

    # --- what the kit makes of it -----------------------------------------------------------------

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task in which it happens."""
        return FakeTask()

    @pytest.fixture
    def bound(self, plugin: object) -> Bound[ObserverSpec]:
        """The plugin as core binds it."""
        return self.bind(plugin)

    @staticmethod
    def bind(plugin: object) -> Bound[ObserverSpec]:
        """A plugin as core binds it: with its secrets masked."""
        infos = seam.declared_settings(type(plugin))
        names = [field_.name for field_ in dataclasses.fields(plugin) if field_.init]  # type: ignore[arg-type]  # declared() has seen that it is a dataclass
        values = {
            info.key: str(getattr(plugin, name) or "")
            for info, name in zip(infos, names, strict=True)
        }
        secrets = seam.secret_values(infos, values)
        made: Bound[ObserverSpec] = seam.bind(
            "observer", plugin, type(plugin).__name__, secrets=secrets
        )
        return made

    @pytest.fixture
    def event(self, tmp_path: Path) -> CertificateEvent:
        """A certificate that lies there with its key."""
        certificate, key = tmp_path / "kit-certificate.pem", tmp_path / "kit-key.pem"
        certificate.write_text(_pem("CERTIFICATE", "first"))
        key.write_text(_pem("PRIVATE KEY", _KEY))
        key.chmod(0o600)
        names = ["www.example.com", "*.example.com", "192.0.2.1"]
        end = _NOW + dt.timedelta(days=90)
        return CertificateEvent("pve1", names, certificate, key, _NOW, end, "AB:CD")

    def tell(
        self, bound: Bound[ObserverSpec], hook: str, event: CertificateEvent, task: FakeTask
    ) -> None:
        """Call one hook, with an event of its kind."""
        arguments: dict[str, Any] = {"event": self.events(event)[hook], "task": task}
        if hook in ("on_task", "on_renewals"):
            del arguments["task"]
        getattr(bound.hooks, hook)(**arguments)

    @staticmethod
    def events(certificate: CertificateEvent) -> dict[str, object]:
        """An event for each hook; texts in them are as odd as they may be."""
        guest = Guest(101, _ODD, "vm", GuestState.RUNNING)
        failed = RenewalFailedEvent(
            node="pve1",
            names=certificate.names,
            certificate=certificate.certificate,
            not_after=certificate.not_after,
            days_left=3.5,
            failures=2,
            reason=_ODD,
            urgency=Urgency.CRITICAL,
        )
        return {
            "on_certificate": certificate,
            "on_renewal_failed": failed,
            "on_renewal_recovered": certificate,
            "on_served": ServedEvent(
                "pve1", "web", "www.example.com:443", certificate.certificate, _ODD
            ),
            "on_notice": NoticeEvent(
                "pve1", "served", Severity.ERROR, _ODD, [_ODD, ""], {"reason": _ODD}
            ),
            "on_renewals": RenewalsEvent("pve1", "ended", good=False, lines=[_ODD]),
            "on_boot_synced": BootSyncedEvent(
                "pve1", ["6.8.12-4-pve"], ["AAAA-0001"], {"BBBB-0002": _ODD}
            ),
            "on_guest": GuestPowerEvent("pve1", guest, "start", _ODD),
            "on_task": TaskEvent(
                "UPID:pve1:…", "pve1", "startall", "", "root@pam", _NOW, _NOW, "OK"
            ),
        }

    # --- events -----------------------------------------------------------------------------------

    @pytest.mark.parametrize("hook", _HOOKS)
    def test_an_event_is_heard(
        self,
        hook: str,
        bound: Bound[ObserverSpec],
        heard: Heard,
        event: CertificateEvent,
        task: FakeTask,
    ) -> None:
        """When the hook returns, the other side knows; texts may contain anything."""
        if hook not in bound.implemented or hook in self.ignores:
            pytest.skip(f"the plugin does not listen to {hook}")
        before = heard()
        try:
            self.tell(bound, hook, event, task)
        except PvefwError as error:
            pytest.fail(
                f"{hook} raises {error}: an event must not fail while the other side is well; its "
                "texts may contain line ends, quotes and characters that are special to a shell"
            )
        assert heard() != before, (
            f"{hook} returned, and nothing has reached the other side: wait until it is done, or raise "
            "a ProviderError"
        )

    def test_the_next_certificate_is_heard_too(
        self, bound: Bound[ObserverSpec], heard: Heard, event: CertificateEvent, task: FakeTask
    ) -> None:
        """After the first one comes another one, for the same instance."""
        self._needs(bound, "on_certificate")
        self.tell(bound, "on_certificate", event, task)
        between = heard()
        event.certificate.write_text(_pem("CERTIFICATE", "second"))
        self.tell(bound, "on_certificate", replace(event, fingerprint="12:34"), task)
        assert heard() != between, (
            "a second certificate does not reach the other side: deploy whatever the event names, "
            "whether or not something already exists"
        )

    def test_the_same_certificate_again_is_not_an_error(
        self, bound: Bound[ObserverSpec], event: CertificateEvent, task: FakeTask
    ) -> None:
        """``cert deploy --retry`` may repeat what had half succeeded."""
        self._needs(bound, "on_certificate")
        self.tell(bound, "on_certificate", event, task)
        try:
            self.tell(bound, "on_certificate", event, task)
        except PvefwError as error:
            pytest.fail(
                f"deploying the same certificate again raises {error}: it must be no error, core "
                "repeats events"
            )

    def test_another_process_can_tell(
        self,
        fresh_plugin: Callable[[], object],
        heard: Heard,
        event: CertificateEvent,
        task: FakeTask,
    ) -> None:
        """A retry is made by an instance that has seen nothing before."""
        bound = self.bind(fresh_plugin())
        hook = next(
            name for name in _HOOKS if name in bound.implemented and name not in self.ignores
        )
        before = heard()
        self.tell(bound, hook, event, task)
        assert heard() != before, (
            f"{hook} of a new instance reaches nobody: it must not need what another process did"
        )

    # --- failures ---------------------------------------------------------------------------------

    def test_a_failure_is_raised(
        self, broken_plugin: object | None, event: CertificateEvent, task: FakeTask
    ) -> None:
        """A ProviderError, so that core warns and tries again later."""
        if broken_plugin is None:
            pytest.skip(
                "override the fixture 'broken_plugin': where the other side cannot be reached"
            )
        bound = self.bind(broken_plugin)
        hook = next(
            name for name in _HOOKS if name in bound.implemented and name not in self.ignores
        )
        try:
            self.tell(bound, hook, event, task)
        except ProviderError as error:
            assert error.message.partition(": ")[2], (
                f"the ProviderError of {hook} says nothing: put the other side's words into it"
            )
            assert _KEY not in f"{error} {error.hint}", (
                f"the ProviderError of {hook} shows the private key: say names and paths only"
            )
        except PvefwError as error:
            pytest.fail(
                f"where the other side cannot be reached {hook} raises {type(error).__name__} "
                f"({error}): raise a ProviderError that says why"
            )
        else:
            pytest.fail(
                f"where the other side cannot be reached {hook} returns as if all were well: raise a "
                "ProviderError, or core never tries again"
            )

    @pytest.mark.parametrize("status", [500, 404, LOST])
    def test_an_error_is_no_success(
        self,
        status: int,
        bound: Bound[ObserverSpec],
        heard: Heard,
        event: CertificateEvent,
        task: FakeTask,
    ) -> None:
        """Whichever event an API answers so, where ``http_api`` serves it: it is raised. Since 1.1."""
        around = served()
        if around is None:
            pytest.skip("no API is served with pvefw.testing.http_api")
        for hook in _HOOKS:
            if hook not in bound.implemented or hook in self.ignores:
                continue
            before = heard()
            around.fail(status)
            try:
                self.tell(bound, hook, event, task)
            except PvefwError:
                around.recover()
                continue
            answer = "nothing" if status == LOST else f"status {status}"
            assert around.recover() or heard() != before, (
                f"the API answered a request of {hook} with {answer}, nothing has reached the other "
                "side, and the hook returns as if all were well: check the status of every answer and "
                "raise a ProviderError"
            )

    # --- what it must not do ------------------------------------------------------------------------

    def test_a_plan_changes_nothing(
        self, bound: Bound[ObserverSpec], heard: Heard, event: CertificateEvent
    ) -> None:
        """``certificate_plan`` says what ``on_certificate`` would do, in a line for each."""
        if "certificate_plan" not in bound.implemented:
            pytest.skip("the plugin is no target: it has no certificate_plan")
        before = heard()
        lines = list(bound.hooks.certificate_plan(event=event))
        assert heard() == before, (
            "certificate_plan has reached the other side: say what would be done, and do nothing"
        )
        assert lines and all(
            line.strip() == line and len(line.splitlines()) == 1 for line in lines
        ), (
            f"certificate_plan returns {lines} for a new certificate: return a line for each thing that "
            "would be done"
        )
        assert _KEY not in " ".join(lines), (
            "certificate_plan shows the private key: say names and paths only"
        )

    def test_the_files_stay_as_they_are(
        self, bound: Bound[ObserverSpec], event: CertificateEvent, task: FakeTask
    ) -> None:
        """Certificate and key belong to core."""
        self._needs(bound, "on_certificate")
        paths = (event.certificate, event.key)
        before = [(path.read_bytes(), path.stat().st_mode) for path in paths]
        self.tell(bound, "on_certificate", event, task)
        for path, was in zip(paths, before, strict=True):
            assert path.exists(), (
                f"on_certificate took {path.name} away: copy, do not move: the files are core's"
            )
            assert (path.read_bytes(), path.stat().st_mode) == was, (
                f"on_certificate changed {path.name} or its mode: the files are core's"
            )

    def test_the_key_is_not_in_the_log(
        self, bound: Bound[ObserverSpec], event: CertificateEvent, task: FakeTask
    ) -> None:
        """The log of a task is kept, and others may read it."""
        self._needs(bound, "on_certificate")
        self.tell(bound, "on_certificate", event, task)
        log = "\n".join([*task.lines, *task.warnings])
        assert _KEY not in log, (
            "on_certificate writes the private key into the task's log: log names and paths only"
        )

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        check_help(plugin)

    def test_secrets_do_not_show(self, bound: Bound[ObserverSpec], plugin: object) -> None:
        """``repr`` may appear in any log."""
        for secret in bound.secrets:
            assert secret not in repr(plugin), (
                "repr() shows a secret setting: leave repr to @dataclass and declare the field with "
                "setting(secret=True)"
            )

    def _needs(self, bound: Bound[ObserverSpec], hook: str) -> None:
        if hook not in bound.implemented or hook in self.ignores:
            pytest.skip(f"the plugin does not listen to {hook}")


def _pem(label: str, content: str) -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"

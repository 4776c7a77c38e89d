"""The observer kit passes a good plugin, and catches each seeded bug with a sentence about it."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from _pytest.outcomes import Skipped

from pvefw.core.errors import ProviderError, PvefwError
from pvefw.core.families import OBSERVER
from pvefw.core.hookspecs import hookimpl
from pvefw.core.settings import setting
from pvefw.testing.fakes import FakeTask
from pvefw.testing.http_api import http_api
from pvefw.testing.observer import ObserverConformance
from pvefw.testing.surroundings import LOST

SECRET = "s3cr3t-word"


@dataclass
class Good:
    """Deploys to a service, and tells it of failures."""

    service: list = field(default_factory=list, init=False)
    reachable: bool = field(default=True, init=False)
    password: str = setting(help="The password.", secret=True, default=SECRET)

    def send(self, *words):
        if not self.reachable:
            raise ProviderError("no route to host")
        self.service.append(words)

    @hookimpl
    def on_certificate(self, event, task):
        task.log(f"deploying {event.certificate}")
        self.send(event.certificate.read_text(), event.key.read_text())

    @hookimpl
    def on_renewal_failed(self, event):
        self.send("failed", event.reason)


class HearsNothing(Good):
    @hookimpl
    def on_certificate(self, event):
        pass


class SwallowsFailures(Good):
    def send(self, *words):
        if self.reachable:
            super().send(*words)


class RaisesSomethingElse(Good):
    def send(self, *words):
        if not self.reachable:
            raise ConnectionError("no route to host")
        super().send(*words)


class SaysNothing(Good):
    def send(self, *words):
        if not self.reachable:
            raise ProviderError("")
        super().send(*words)


class ReturnsAStatus(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        return True


class OnlyTheFirst(Good):
    def send(self, *words):
        if not self.service:
            super().send(*words)


class RefusesToRepeat(Good):
    def send(self, *words):
        if words in self.service:
            raise ProviderError("409 exists")
        super().send(*words)


class NeedsPlainTexts(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        if "\n" in event.reason:
            raise ProviderError("400 line end in header")
        super().on_renewal_failed(event)


@dataclass
class NeedsItsMemory(Good):
    count = 0

    def __post_init__(self):
        type(self).count += 1
        self.number = type(self).count

    def send(self, *words):
        if self.number % 2:
            super().send(*words)


class MovesTheFiles(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        event.key.unlink()


class OpensTheKey(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        event.key.chmod(0o666)


class LogsTheKey(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        task.log(event.key.read_text())


class ShowsItsPassword(Good):
    def __repr__(self):
        return f"ShowsItsPassword({self.password})"


class HearsNoFailure(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        pass


class TellsLater(Good):
    """It leaves that to somebody who comes by later, and returns."""

    def send(self, *words):
        self.later = words


class FormatsWithPercent(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        self.send(event.reason % ())


class FormatsWithBraces(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        self.send(event.reason.format())


class SpeaksAscii(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        self.send(event.reason.encode("ascii"))


class SplitsAtLineEnds(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        [line] = event.reason.splitlines()
        self.send(line)


class DeletesTheCertificate(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        event.certificate.unlink()


class AppendsTheKey(Good):
    @hookimpl
    def on_certificate(self, event, task):
        with event.certificate.open("a") as file:
            file.write(event.key.read_text())
        super().on_certificate(event, task)


class WarnsWithTheKey(Good):
    @hookimpl
    def on_certificate(self, event, task):
        super().on_certificate(event, task)
        task.warn(f"deployed {event.key.read_text()}")


class SaysTheKey(Good):
    def send(self, *words):
        if not self.reachable:
            raise ProviderError(f"could not send {words}")
        super().send(*words)


class FailsTheSecondTime(Good):
    def send(self, *words):
        if len(self.service) == 1:
            raise FileExistsError("site.pem")
        super().send(*words)


class ReturnsFalse(Good):
    @hookimpl
    def on_renewal_failed(self, event):
        super().on_renewal_failed(event)
        return False


class Target(Good):
    """Not a bug: it says what it would do."""

    @hookimpl
    def certificate_plan(self, event):
        return [f"send {event.certificate}"]


class PlansByDoing(Target):
    @hookimpl
    def certificate_plan(self, event):
        self.send("what", "would", "be")
        return super().certificate_plan(event)


class PlansInOneText(Target):
    @hookimpl
    def certificate_plan(self, event):
        return [f"send {event.certificate}\nsend {event.key}\n"]


class PlansNothing(Target):
    @hookimpl
    def certificate_plan(self, event):
        return []


class PlansWithTheKey(Target):
    @hookimpl
    def certificate_plan(self, event):
        return [f"send {event.key.read_text()!r}"]


# --- other styles that are right ---------------------------------------------------------------------


class OnlyFailures(Good):
    """It does not listen to certificates."""

    on_certificate = None


class SkipsWhatItHas(Good):
    """The same certificate is not deployed twice."""

    def send(self, *words):
        if words not in self.service or not self.reachable:
            super().send(*words)


@dataclass
class NoHelp(Good):
    region: str = "eu"


def run_kit(plugin_class, tmp_path: Path):
    """Run every test of the kit by hand; what the failures say, by test."""
    failures = {}
    for name, test in inspect.getmembers(ObserverConformance(), inspect.ismethod):
        if not name.startswith("test_"):
            continue
        for hook in (hook for hook in OBSERVER.hooks if hook.startswith("on_")):
            plugin, other, broken = plugin_class(), plugin_class(), plugin_class()
            other.service = plugin.service
            broken.reachable = False
            available = {
                "plugin": plugin,
                "bound": ObserverConformance.bind(plugin),
                "fresh_plugin": lambda other=other: other,
                "broken_plugin": broken,
                "status": 500,
                "heard": lambda plugin=plugin: list(plugin.service),
                "event": ObserverConformance.event._fixture_function(None, tmp_path),
                "task": FakeTask(),
                "hook": hook,
            }
            wanted = {
                parameter: available[parameter] for parameter in inspect.signature(test).parameters
            }
            try:
                test(**wanted)
            except Skipped:
                continue
            except (AssertionError, PvefwError, pytest.fail.Exception) as error:
                failures[name] = str(error)
    return failures


@pytest.mark.parametrize("good", [Good, Target, OnlyFailures, SkipsWhatItHas])
def test_a_good_observer_passes(good, tmp_path):
    assert run_kit(good, tmp_path) == {}


class TestGood(ObserverConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def fresh_plugin(self, plugin):
        return lambda: plugin

    @pytest.fixture
    def heard(self, plugin):
        return lambda: list(plugin.service)

    @pytest.fixture
    def broken_plugin(self):
        made = Good()
        made.reachable = False
        return made


SEEDED = [
    (HearsNothing, "nothing has reached the other side"),
    (SwallowsFailures, "returns as if all were well"),
    (RaisesSomethingElse, "raise a ProviderError that says why"),
    (SaysNothing, "says nothing"),
    (ReturnsAStatus, "its contract says nothing"),
    (OnlyTheFirst, "deploy whatever the event names"),
    (RefusesToRepeat, "core repeats events"),
    (NeedsPlainTexts, "its texts may contain line ends"),
    (NeedsItsMemory, "must not need what another process did"),
    (MovesTheFiles, "copy, do not move"),
    (OpensTheKey, "or its mode: the files are core's"),
    (LogsTheKey, "log names and paths only"),
    (ShowsItsPassword, "repr() shows a secret setting"),
    (NoHelp, "the setting region has no help"),
    (HearsNoFailure, "on_renewal_failed returned, and nothing has reached the other side"),
    (TellsLater, "wait until it is done"),
    (FormatsWithPercent, "its texts may contain line ends"),
    (FormatsWithBraces, "its texts may contain line ends"),
    (SpeaksAscii, "its texts may contain line ends"),
    (SplitsAtLineEnds, "its texts may contain line ends"),
    (DeletesTheCertificate, "copy, do not move"),
    (AppendsTheKey, "or its mode: the files are core's"),
    (WarnsWithTheKey, "log names and paths only"),
    (SaysTheKey, "shows the private key"),
    (FailsTheSecondTime, "core repeats events"),
    (ReturnsFalse, "its contract says nothing"),
    (PlansByDoing, "say what would be done, and do nothing"),
    (PlansInOneText, "return a line for each thing"),
    (PlansNothing, "return a line for each thing"),
    (PlansWithTheKey, "certificate_plan shows the private key"),
]


@pytest.mark.parametrize(("bug", "sentence"), SEEDED, ids=[bug.__name__ for bug, _ in SEEDED])
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence, tmp_path):
    said = run_kit(bug, tmp_path)
    assert any(sentence in value for value in said.values()), said


@pytest.mark.parametrize("fixture", ["plugin", "heard"])
def test_what_the_author_must_write_says_so(fixture):
    definition = getattr(ObserverConformance, fixture)
    with pytest.raises(NotImplementedError, match=f"Override the fixture '{fixture}'"):
        definition._fixture_function(ObserverConformance())


@dataclass
class Posts:
    """Tells an API."""

    url: str = setting(help="Where.")
    checks: bool = setting(help="Whether it looks at the answer.", default=True)

    @hookimpl
    def on_renewal_failed(self, event):
        try:
            answer = requests.post(self.url, json={"reason": event.reason}, timeout=30)
        except requests.RequestException as error:
            raise ProviderError(str(error)) from error
        if self.checks and not answer.ok:
            raise ProviderError(answer.text)


@pytest.mark.parametrize("status", [500, 404, LOST])
@pytest.mark.parametrize("checks", [True, False])
def test_an_answer_that_is_an_error_is_looked_at(status, checks, tmp_path):
    told = []

    def answer(request):
        told.append(request.json)
        return 200, {}

    kit = ObserverConformance()
    event = ObserverConformance.event._fixture_function(kit, tmp_path)
    with http_api(answer) as base:
        bound = kit.bind(Posts(base, checks))
        arguments = [status, bound, lambda: list(told), event, FakeTask()]
        if checks or status == LOST:
            kit.test_an_error_is_no_success(*arguments)
        else:
            with pytest.raises(AssertionError, match="check the status of every answer"):
                kit.test_an_error_is_no_success(*arguments)

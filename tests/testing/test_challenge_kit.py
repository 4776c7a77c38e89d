"""The challenge kit passes a good plugin, and catches each seeded bug with a sentence about it."""

import inspect
from dataclasses import dataclass, field

import pytest

from pvefw.core import binding
from pvefw.core.errors import PvefwError
from pvefw.core.families import CHALLENGE
from pvefw.core.hookspecs import hookimpl
from pvefw.core.settings import setting
from pvefw.testing.challenge import ChallengeConformance
from pvefw.testing.fakes import FakeTask


@dataclass
class Good:
    """Answers from memory."""

    where: str = setting(help="Where.", default="here")
    answers: dict = field(default_factory=dict, init=False)

    @hookimpl
    def challenge_types(self):
        return ["http-01"]

    @hookimpl
    def challenge_present(self, challenges):
        for one in challenges:
            self.answers[one.token] = one.key_authorization

    @hookimpl
    def challenge_cleanup(self, challenges):
        for one in challenges:
            self.answers.pop(one.token, None)

    def fetch(self, challenge):
        return self.answers.get(challenge.token)


class WrongBody(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for one in challenges:
            self.answers[one.token] = one.token


class AnswersAnything(Good):
    def fetch(self, challenge):
        return challenge.key_authorization if self.answers else None


class OnlyTheFirst(Good):
    @hookimpl
    def challenge_present(self, challenges):
        self.answers[challenges[0].token] = challenges[0].key_authorization


class ForgetsTheOthers(Good):
    @hookimpl
    def challenge_present(self, challenges):
        self.answers = {one.token: one.key_authorization for one in challenges}


class LeavesItUp(Good):
    @hookimpl
    def challenge_cleanup(self, challenges):
        pass


class TakesAllDown(Good):
    @hookimpl
    def challenge_cleanup(self, challenges):
        self.answers.clear()


class CleansOnlyOnce(Good):
    @hookimpl
    def challenge_cleanup(self, challenges):
        for one in challenges:
            del self.answers[one.token]


class RefusesToRepeat(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for one in challenges:
            if one.token in self.answers:
                raise ValueError("it is there already")
            self.answers[one.token] = one.key_authorization


class WorksOnlyOnce(Good):
    used = False

    @hookimpl
    def challenge_present(self, challenges):
        if not self.used:
            super().challenge_present(challenges)

    @hookimpl
    def challenge_cleanup(self, challenges):
        self.used = self.used or bool(self.answers)
        super().challenge_cleanup(challenges)


@dataclass
class NoHelp(Good):
    where: str = "here"


class NoTypes(Good):
    @hookimpl
    def challenge_types(self):
        return []


def run_kit(plugin_class):
    """Run every test of the kit by hand; the failures by test."""
    kit = ChallengeConformance()
    failures = {}
    for name, test in inspect.getmembers(kit, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        plugin = plugin_class()
        available = {
            "plugin": plugin,
            "hooks": binding.bind_object(CHALLENGE, plugin, "it").hooks,
            "fetch": plugin.fetch,
            "task": FakeTask(),
        }
        wanted = {one: available[one] for one in inspect.signature(test).parameters}
        try:
            test(**wanted)
        except (AssertionError, PvefwError, LookupError) as error:
            failures[name] = str(error)
    return failures


def test_a_good_plugin_passes():
    assert run_kit(Good) == {}


class TestGood(ChallengeConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def fetch(self, plugin):
        return plugin.fetch


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (WrongBody, "must be exactly the challenge's key_authorization"),
        (AnswersAnything, "answer only the tokens that you got"),
        (OnlyTheFirst, "is not answered: challenge_present must make every challenge"),
        (ForgetsTheOthers, "took the first one down"),
        (LeavesItUp, "still answered after challenge_cleanup"),
        (TakesAllDown, "remove exactly those of the list"),
        (CleansOnlyOnce, "it: challenge_cleanup failed: KeyError"),
        (RefusesToRepeat, "it: challenge_present failed: ValueError: it is there already"),
        (WorksOnlyOnce, "must leave it usable"),
        (NoHelp, "the setting where has no help"),
        (NoTypes, "name at least one type"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    failures = run_kit(bug)
    assert any(sentence in said for said in failures.values()), failures

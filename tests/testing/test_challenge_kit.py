"""The challenge kit passes a good plugin, and catches each seeded bug with a sentence about it."""

import hashlib
import inspect
import socket
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
    answers: dict = field(default_factory=dict, init=False, repr=False)

    @hookimpl
    def challenge_types(self):
        return ["http-01"]

    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[challenge.token] = challenge.key_authorization

    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            self.answers.pop(challenge.token, None)

    def fetch(self, challenge):
        return self.answers.get(challenge.token)

    def another(self):
        """As another process would have it: what is presented is outside of both."""
        made = type(self)()
        made.answers = self.answers
        return made


class WrongBody(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[challenge.token] = challenge.token


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
        self.answers = {challenge.token: challenge.key_authorization for challenge in challenges}


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
        for challenge in challenges:
            del self.answers[challenge.token]


class RefusesToRepeat(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            if challenge.token in self.answers:
                raise ValueError("it already exists")
            self.answers[challenge.token] = challenge.key_authorization


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


class Remembers(Good):
    """What it has presented itself is all that it takes down."""

    @hookimpl
    def challenge_present(self, challenges):
        super().challenge_present(challenges)
        self.mine = {challenge.token for challenge in challenges} | getattr(self, "mine", set())

    @hookimpl
    def challenge_cleanup(self, challenges):
        mine = getattr(self, "mine", set())
        super().challenge_cleanup(
            [challenge for challenge in challenges if challenge.token in mine]
        )


class NoTypes(Good):
    @hookimpl
    def challenge_types(self):
        return []


class Closing(Good):
    """Listens as long as something is presented."""

    server = None

    @hookimpl
    def challenge_present(self, challenges):
        super().challenge_present(challenges)
        self.server = self.server or socket.create_server(("127.0.0.1", 0))

    @hookimpl
    def challenge_cleanup(self, challenges):
        super().challenge_cleanup(challenges)
        if self.server and not self.answers:
            self.server.close()
            self.server = None


class LeavesThePortOpen(Closing):
    @hookimpl
    def challenge_cleanup(self, challenges):
        Good.challenge_cleanup(self, challenges)


class NamesOnly(Good):
    @hookimpl
    def challenge_present(self, challenges):
        super().challenge_present(
            [challenge for challenge in challenges if challenge.identifier.type == "dns"]
        )


class NoColons(Good):
    @hookimpl
    def challenge_present(self, challenges):
        super().challenge_present(
            [challenge for challenge in challenges if ":" not in challenge.identifier.value]
        )


class ByName(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[str(challenge.identifier)] = challenge.key_authorization

    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            self.answers.pop(str(challenge.identifier), None)

    def fetch(self, challenge):
        return self.answers.get(str(challenge.identifier))


class CleansByName(Good):
    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[challenge.token, str(challenge.identifier)] = challenge.key_authorization

    @hookimpl
    def challenge_cleanup(self, challenges):
        names = {str(challenge.identifier) for challenge in challenges}
        self.answers = {key: answer for key, answer in self.answers.items() if key[1] not in names}

    def fetch(self, challenge):
        return self.answers.get((challenge.token, str(challenge.identifier)))


class Logs(Good):
    @hookimpl
    def challenge_present(self, challenges, task):
        super().challenge_present(challenges)
        task.log(f"serving {challenges[0].key_authorization}")


class Warns(Good):
    @hookimpl
    def challenge_present(self, challenges, task):
        super().challenge_present(challenges)
        task.warn(f"serving {challenges}")


class LogsWhenCleaning(Good):
    @hookimpl
    def challenge_cleanup(self, challenges, task):
        super().challenge_cleanup(challenges)
        task.log(f"gone: {challenges[-1].key_authorization}")


@dataclass
class ShowsAnswers(Good):
    def __repr__(self):
        return f"ShowsAnswers({self.answers})"


@dataclass
class TlsAlpn(Good):
    """Certificates by SNI: the digest stands for one."""

    answers: dict = field(default_factory=dict, init=False, repr=False)

    @hookimpl
    def challenge_types(self):
        return ["tls-alpn-01"]

    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[challenge.identifier.value] = challenge.token, self.digest(challenge)

    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            if self.answers.get(challenge.identifier.value, ("",))[0] == challenge.token:
                del self.answers[challenge.identifier.value]

    def digest(self, challenge):
        return hashlib.sha256(challenge.key_authorization.encode()).hexdigest()

    def fetch(self, challenge):
        return self.answers.get(challenge.identifier.value, (None, None))[1]


class ForgetsTheName(TlsAlpn):
    @hookimpl
    def challenge_cleanup(self, challenges):
        for challenge in challenges:
            self.answers.pop(challenge.identifier.value, None)


class AnySni(TlsAlpn):
    def fetch(self, challenge):
        return next(iter(self.answers.values()), (None, None))[1]


class DigestOfTheToken(TlsAlpn):
    def digest(self, challenge):
        return hashlib.sha256(challenge.token.encode()).hexdigest()


@dataclass
class Dns01(Good):
    """The record's value."""

    answers: dict = field(default_factory=dict, init=False, repr=False)

    @hookimpl
    def challenge_types(self):
        return ["dns-01"]

    @hookimpl
    def challenge_present(self, challenges):
        for challenge in challenges:
            self.answers[challenge.token] = challenge.dns_value


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
            "fresh_plugin": plugin.another,
            "hooks": binding.bind_object(CHALLENGE, plugin, "it").hooks,
            "fetch": plugin.fetch,
            "task": FakeTask(),
            "tmp_path": None,  # these plugins have no folders
            "broken_plugin": None,
        }
        for address in ("192.0.2.1", "2001:db8::1"):
            given = {**available, "address": address}
            wanted = {
                parameter: given[parameter] for parameter in inspect.signature(test).parameters
            }
            try:
                test(**wanted)
            except pytest.skip.Exception:
                continue
            except (AssertionError, PvefwError, LookupError) as error:
                failures.setdefault(name, str(error))
            finally:
                if getattr(plugin, "server", None):
                    plugin.server.close()
                    plugin.server = None
    return failures


@pytest.mark.parametrize("good", [Good, Closing, TlsAlpn, Dns01])
def test_a_good_plugin_passes(good):
    assert run_kit(good) == {}


class TestGood(ChallengeConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def fresh_plugin(self, plugin):
        return plugin.another

    @pytest.fixture
    def fetch(self, plugin):
        return plugin.fetch


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (WrongBody, "must be exactly the challenge's key_authorization"),
        (AnswersAnything, "answer only the tokens and names"),
        (OnlyTheFirst, "is not answered: challenge_present must make every challenge"),
        (ForgetsTheOthers, "took the first one down"),
        (LeavesItUp, "still answered after challenge_cleanup"),
        (TakesAllDown, "remove exactly those of the list"),
        (CleansOnlyOnce, "no error, core cleans up after half a present, too"),
        (RefusesToRepeat, "core repeats what was interrupted"),
        (WorksOnlyOnce, "must leave it usable"),
        (NoHelp, "the setting where has no help"),
        (Remembers, "nothing may be remembered from challenge_present"),
        (NoTypes, "name at least one type"),
        (LeavesThePortOpen, "close the server with its last challenge"),
        (NamesOnly, "an identifier may be an address"),
        (NoColons, "the address 2001:db8::1 is not answered"),
        (ByName, "keep answers by token"),
        (CleansByName, "took the other one down"),
        (Logs, "log the identifier, or the token alone"),
        (Warns, "log the identifier, or the token alone"),
        (LogsWhenCleaning, "log the identifier, or the token alone"),
        (ShowsAnswers, "log the identifier, or the token alone"),
        (ForgetsTheName, "look whose it is"),
        (AnySni, "(with tls-alpn-01: the SNI) that you got"),
        (DigestOfTheToken, "for tls-alpn-01 its SHA-256 digest"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    failures = run_kit(bug)
    assert any(sentence in sentence_ for sentence_ in failures.values()), failures

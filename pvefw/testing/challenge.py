"""The conformance kit of the challenge family.

Inherit from :class:`ChallengeConformance` and say how to make the plugin and how to ask for an answer::

    class TestWebroot(ChallengeConformance):
        @pytest.fixture
        def plugin(self, tmp_path):
            return Webroot(webroot=tmp_path)

        @pytest.fixture
        def fetch(self, tmp_path):
            def fetch(challenge):
                path = tmp_path / ".well-known/acme-challenge" / challenge.token
                return path.read_text() if path.exists() else None
            return fetch
"""

from collections.abc import Callable, Iterator

import pytest

from pvefw import seam
from pvefw.api import Challenge, Identifier
from pvefw.seam import ChallengeSpec
from pvefw.testing.fakes import FakeTask

Fetch = Callable[[Challenge], str | None]


def make_challenge(number: int, kind: str = "http-01") -> Challenge:
    """A challenge like that of an authority; another number gives another one."""
    token = f"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-{number:02d}"
    thumbprint = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
    name = f"host{number}.example.com"
    return Challenge(kind, Identifier("dns", name), token, f"{token}.{thumbprint}")


class ChallengeConformance:
    """What every challenge plugin must do. Each failure says in one sentence what is wrong."""

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your plugin, ready to use."
        )

    @pytest.fixture
    def fetch(self) -> Fetch:
        """Asks as the authority does: the answer to a challenge, or ``None``. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'fetch': return a function that takes a Challenge and returns "
            "the answer that the authority would see, or None."
        )

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task that hooks get."""
        return FakeTask()

    @pytest.fixture
    def hooks(self, plugin: object, task: FakeTask) -> Iterator[ChallengeSpec]:
        """The plugin's hooks, bound as core binds them, and cleaned up after the test."""
        bound = seam.bind("challenge", plugin, type(plugin).__name__)
        hooks: ChallengeSpec = bound.hooks
        yield hooks
        hooks.challenge_cleanup(challenges=self.challenges(hooks, 4), task=task)

    def challenges(self, hooks: ChallengeSpec, count: int, start: int = 0) -> list[Challenge]:
        """Some challenges of the plugin's first type."""
        kind = hooks.challenge_types()[0]
        return [make_challenge(number, kind) for number in range(start, start + count)]

    def test_it_declares_types(self, hooks: ChallengeSpec) -> None:
        """At least one type, and the same ones whenever it is asked."""
        types = list(hooks.challenge_types())
        assert types, "challenge_types returns nothing: name at least one type, such as http-01"
        assert types == list(hooks.challenge_types()), (
            "challenge_types returns different types when called again: it must be constant"
        )

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        for info in seam.declared_settings(type(plugin)):
            assert info.help, f"the setting {info.key} has no help: declare it with setting(help=…)"

    def test_every_challenge_is_answered(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """All challenges of an order, each with its own key authorization, when present returns."""
        challenges = self.challenges(hooks, 3)
        hooks.challenge_present(challenges=challenges, task=task)
        for one in challenges:
            answer = fetch(one)
            assert answer is not None, (
                f"{one.identifier} is not answered: challenge_present must make every challenge "
                "of the list visible before it returns"
            )
            assert answer == one.key_authorization, (
                f"{one.identifier} is answered with {answer!r}: it must be exactly the challenge's "
                "key_authorization (or dns_value)"
            )

    def test_nothing_else_is_answered(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Tokens that were not presented are not answered."""
        presented, other = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[presented], task=task)
        assert fetch(other) is None, (
            "a challenge that was never presented is answered: answer only the tokens that you got, "
            "or anybody can get a certificate for this host"
        )

    def test_presenting_again_is_not_an_error(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """The same challenges twice, as when an order is resumed."""
        [one] = self.challenges(hooks, 1)
        hooks.challenge_present(challenges=[one], task=task)
        hooks.challenge_present(challenges=[one], task=task)
        assert fetch(one) == one.key_authorization, (
            "after presenting a challenge twice it is not answered: repeating must change nothing"
        )

    def test_more_can_be_presented(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Two orders side by side."""
        first, second = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[first], task=task)
        hooks.challenge_present(challenges=[second], task=task)
        assert fetch(first) == first.key_authorization, (
            "presenting another challenge took the first one down: keep what is presented "
            "until its own clean-up"
        )
        assert fetch(second) == second.key_authorization, (
            "a challenge that is presented later is not answered"
        )

    def test_clean_up_takes_everything_down(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Nothing is answered after the clean-up."""
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        for one in challenges:
            assert fetch(one) is None, (
                f"{one.identifier} is still answered after challenge_cleanup: take it down"
            )

    def test_clean_up_takes_nothing_else_down(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Another order's challenges stay."""
        first, second = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[first, second], task=task)
        hooks.challenge_cleanup(challenges=[first], task=task)
        assert fetch(second) == second.key_authorization, (
            "cleaning one challenge up took another one down: remove exactly those of the list"
        )

    def test_clean_up_can_be_repeated(self, hooks: ChallengeSpec, task: FakeTask) -> None:
        """Cleaning up what is gone, or was never there, is not an error."""
        challenges = self.challenges(hooks, 2)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        hooks.challenge_present(challenges=challenges[:1], task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)

    def test_it_can_be_used_again(self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask) -> None:
        """An order after another, with the same instance."""
        challenges = self.challenges(hooks, 1)
        for _ in range(2):
            hooks.challenge_present(challenges=challenges, task=task)
            assert fetch(challenges[0]) == challenges[0].key_authorization, (
                "the second order with the same instance is not answered: "
                "challenge_cleanup must leave it usable"
            )
            hooks.challenge_cleanup(challenges=challenges, task=task)

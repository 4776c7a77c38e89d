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

It serves any type of challenge; with tls-alpn-01 ``fetch`` returns the
certificate's digest in hexadecimal.

What it cannot see: whether the authority reaches the port from outside, servers in other processes that
stay, redirects and proxies on the way, and what two processes do to each other.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pvefw import seam
from pvefw.api import Challenge, Identifier
from pvefw.seam import ChallengeSpec
from pvefw.testing.fakes import FakeTask

TLS_ALPN = "tls-alpn-01"
_LISTEN = "0A"
"""The state of a socket in ``/proc/net/tcp``."""
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

    @staticmethod
    def is_answer(challenge: Challenge, answer: str | None) -> bool:
        """Whether this is what the authority wants to see.

        What ``fetch`` returns for tls-alpn-01 is the digest in the certificate, in hexadecimal
        (RFC 8737 section 3), for dns types the record's value. The key authorization is good for all.
        """
        authorization = challenge.key_authorization
        if challenge.type.startswith("dns-"):
            return answer in (authorization, challenge.dns_value)
        if challenge.type == TLS_ALPN:
            return answer in (authorization, hashlib.sha256(authorization.encode()).hexdigest())
        return answer == authorization

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
            assert self.is_answer(one, answer), (
                f"{one.identifier} is answered with {answer!r}: it must be exactly the challenge's "
                "key_authorization (for dns-01 dns_value; for tls-alpn-01 its SHA-256 digest)"
            )

    def test_nothing_else_is_answered(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Tokens that were not presented are not answered."""
        presented, other = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[presented], task=task)
        assert fetch(other) is None, (
            "a challenge that was never presented is answered: answer only the tokens and names (with "
            "tls-alpn-01: the SNI) that you got, or anybody can get a certificate for this host"
        )

    def test_presenting_again_is_not_an_error(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """The same challenges twice, as when an order is resumed."""
        [one] = self.challenges(hooks, 1)
        hooks.challenge_present(challenges=[one], task=task)
        hooks.challenge_present(challenges=[one], task=task)
        assert self.is_answer(one, fetch(one)), (
            "after presenting a challenge twice it is not answered: repeating must change nothing"
        )

    def test_more_can_be_presented(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Two orders side by side."""
        first, second = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[first], task=task)
        hooks.challenge_present(challenges=[second], task=task)
        assert self.is_answer(first, fetch(first)), (
            "presenting another challenge took the first one down: keep what is presented "
            "until its own clean-up"
        )
        assert self.is_answer(second, fetch(second)), (
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
        assert self.is_answer(second, fetch(second)), (
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
            assert self.is_answer(challenges[0], fetch(challenges[0])), (
                "the second order with the same instance is not answered: "
                "challenge_cleanup must leave it usable"
            )
            hooks.challenge_cleanup(challenges=challenges, task=task)

    # --- what is easily forgotten ---------------------------------------------------------------------

    @pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
    def test_addresses_are_identifiers(
        self, address: str, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Certificates are ordered for addresses, too (RFC 8738); dns-01 does not exist for them."""
        [named] = self.challenges(hooks, 1)
        if named.type.startswith("dns-"):
            pytest.skip("no dns challenge is offered for an address")
        one = dataclasses.replace(named, identifier=Identifier("ip", address))
        hooks.challenge_present(challenges=[one], task=task)
        try:
            assert self.is_answer(one, fetch(one)), (
                f"the address {address} is not answered: an identifier may be an address; with "
                "tls-alpn-01 the SNI is then its name below in-addr.arpa or ip6.arpa (RFC 8738 section 6)"
            )
        finally:
            hooks.challenge_cleanup(challenges=[one], task=task)

    def test_two_tokens_for_one_name(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Two orders for one name at once, as of two nodes behind one address."""
        first, other = self.challenges(hooks, 2)
        second = dataclasses.replace(other, identifier=first.identifier)
        if first.type == TLS_ALPN:
            pytest.skip("tls-alpn-01 has one certificate for a name at a time")
        hooks.challenge_present(challenges=[first, second], task=task)
        for one in (first, second):
            assert self.is_answer(one, fetch(one)), (
                f"of two challenges for {one.identifier} one is not answered: keep answers by token "
                "(dns: by value), not by name"
            )
        hooks.challenge_cleanup(challenges=[first], task=task)
        assert self.is_answer(second, fetch(second)), (
            f"cleaning one of two challenges for {second.identifier} up took the other one down"
        )
        hooks.challenge_cleanup(challenges=[second], task=task)

    def test_nothing_listens_after_clean_up(self, hooks: ChallengeSpec, task: FakeTask) -> None:
        """A port that stays open is in the way of the next order, and of whoever it belongs to."""
        before = _listening()
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        left = _listening() - before
        assert not left, (
            f"after challenge_cleanup {len(left)} socket(s) still listen: close the server with its last "
            "challenge"
        )

    def test_key_authorizations_are_not_logged(
        self, plugin: object, hooks: ChallengeSpec, task: FakeTask
    ) -> None:
        """With one from a log, whoever controls the name's traffic for a moment could answer for us."""
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        shown = " ".join([*task.lines, *task.warnings, repr(plugin)])
        hooks.challenge_cleanup(challenges=challenges, task=task)
        shown += " ".join([*task.lines, *task.warnings])
        assert not any(one.key_authorization in shown for one in challenges), (
            "the log or repr() shows a key authorization: log the identifier, or the token alone"
        )


def _listening() -> set[str]:
    """Sockets of this process that listen, by inode; empty where there is no ``/proc``."""
    own = set()
    for one in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            own.add(str(one.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = Path("/proc/net", table).read_text().splitlines()[1:]
            found |= {row.split()[9] for row in rows if row.split()[3] == _LISTEN}
    return own & found

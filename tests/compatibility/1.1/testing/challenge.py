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

It serves any type of challenge. ``fetch`` need not be written where a port or a zone can be asked:
:func:`asked_over_http`, :func:`asked_over_tls` and :func:`asked_in_dns` ask as an authority does.

What it cannot see: whether the authority reaches the port from outside, redirects and proxies on the way,
servers that somebody else started, what two processes do to each other, what a plugin prints, and files
outside of the folders that its settings name: the mode of a private key there, copies that stay.
"""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from pvefw import seam
from pvefw.api import Challenge, Identifier, ProviderError
from pvefw.seam import ChallengeSpec, PvefwError
from pvefw.testing import _validation
from pvefw.testing._saying import explained
from pvefw.testing._settings import check_help, check_secrets
from pvefw.testing.fakes import FakeTask

TLS_ALPN = "tls-alpn-01"
_OK = 200
_SECONDS = 5.0
"""How long an answer is waited for."""
_LONGEST_GOODBYE = 2.0
"""Seconds until what was closed is closed."""
_NO_TYPES = "challenge_types returns nothing: name at least one type, such as http-01"
_NO_ERROR = "what is gone or was never there is no error, core cleans up after half a present, too"
_OPEN_TO_OTHERS = 0o077
_LISTEN = "0A"
"""The state of a socket in ``/proc/net/tcp``."""
Fetch = Callable[[Challenge], str | None]


def make_challenge(number: int, kind: str = "http-01") -> Challenge:
    """A challenge like that of an authority; another number gives another one."""
    token = f"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-{number:02d}"
    thumbprint = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
    name = f"host{number}.example.com"
    return Challenge(kind, Identifier("dns", name), token, f"{token}.{thumbprint}")


def asked_over_http(port: int) -> Fetch:
    """A ``fetch`` for http-01 at a port of 127.0.0.1 (RFC 8555 section 8.3). Since 1.1."""

    def fetch(challenge: Challenge) -> str | None:
        connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        try:
            path = f"/.well-known/acme-challenge/{challenge.token}"
            connection.request("GET", path, headers={"Host": challenge.identifier.value})
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace").rstrip()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return body if answer.status == _OK else None

    return fetch


def asked_over_tls(port: int) -> Fetch:
    """A ``fetch`` for tls-alpn-01 at a port of 127.0.0.1 (RFC 8737 section 3). Since 1.1."""

    def fetch(challenge: Challenge) -> str | None:
        try:
            protocol, certificate = _validation.handshake(_validation.server_name(challenge), port)
        except OSError:
            return None
        problem = _validation.wrong_handshake(challenge, protocol, certificate)
        return problem or challenge.key_authorization

    return fetch


def asked_in_dns(texts: Callable[[str], set[str]]) -> Fetch:
    """A ``fetch`` for dns-01 and dns-account-01 (RFC 8555 section 8.4). Since 1.1.

    :param texts: the TXT values at an absolute name: ``zone.txt`` of :mod:`pvefw.testing.dns_zone`.
    """

    def fetch(challenge: Challenge) -> str | None:
        strings = texts(f"{challenge.dns_label}.{challenge.identifier.value}.")
        return challenge.dns_value if challenge.dns_value in strings else None

    return fetch


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
    def fresh_plugin(self, plugin: object) -> Callable[[], object]:
        """Makes another instance, as another process would. Override it where a copy does not do."""
        return lambda: dataclasses.replace(plugin)  # type: ignore[type-var]  # plugins are dataclasses

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
        with explained("cleaning up what was never there", _NO_ERROR):
            hooks.challenge_cleanup(challenges=self.challenges(hooks, 4), task=task)

    @pytest.fixture
    def broken_plugin(self) -> object | None:
        """The plugin where presenting must fail, such as with a folder that does not exist.

        Where it is not overridden, the kit takes the plugin's own folder away, if a setting names one.
        Since 1.1.
        """
        return None

    def challenges(self, hooks: ChallengeSpec, count: int, start: int = 0) -> list[Challenge]:
        """Some challenges of the plugin's first type."""
        types = hooks.challenge_types()
        assert types, _NO_TYPES
        kind = types[0]
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
        assert types, _NO_TYPES
        assert types == list(hooks.challenge_types()), (
            "challenge_types returns different types when called again: it must be constant"
        )

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        check_help(plugin)

    def test_secrets_do_not_show(self, plugin: object) -> None:
        """``repr`` may appear in any log."""
        check_secrets(plugin)

    def test_every_challenge_is_answered(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """All challenges of an order, each with its own key authorization, when present returns."""
        challenges = self.challenges(hooks, 3)
        hooks.challenge_present(challenges=challenges, task=task)
        for challenge in challenges:
            answer = fetch(challenge)
            assert answer is not None, (
                f"{challenge.identifier} is not answered: challenge_present must make every challenge "
                "of the list visible before it returns"
            )
            assert self.is_answer(challenge, answer), (
                f"{challenge.identifier} is answered with {answer!r}: it must be exactly the challenge's "
                "key_authorization (for dns-01 dns_value; for tls-alpn-01 its SHA-256 digest, in a "
                "critical extension of a certificate for that name alone)"
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
        [challenge] = self.challenges(hooks, 1)
        hooks.challenge_present(challenges=[challenge], task=task)
        with explained("presenting a challenge again", "core repeats what was interrupted"):
            hooks.challenge_present(challenges=[challenge], task=task)
        assert self.is_answer(challenge, fetch(challenge)), (
            "after presenting a challenge twice it is not answered: repeating must change nothing"
        )

    def test_more_can_be_presented(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Two orders side by side."""
        first, second = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=[first], task=task)
        with explained("presenting another challenge", "open what answers only once"):
            hooks.challenge_present(challenges=[second], task=task)
        assert self.is_answer(first, fetch(first)), (
            "presenting another challenge took the first one down: keep what is presented "
            "until its own clean-up"
        )
        assert self.is_answer(second, fetch(second)), (
            "a challenge that is presented later is not answered: present beside what is there"
        )

    def test_clean_up_takes_everything_down(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Nothing is answered after the clean-up."""
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        for challenge in challenges:
            assert fetch(challenge) is None, (
                f"{challenge.identifier} is still answered after challenge_cleanup: take it down"
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
        with explained("cleaning up what was never there", _NO_ERROR):
            hooks.challenge_cleanup(challenges=challenges, task=task)
        hooks.challenge_present(challenges=challenges[:1], task=task)
        with explained("cleaning up more than was presented, twice", _NO_ERROR):
            hooks.challenge_cleanup(challenges=challenges, task=task)
            hooks.challenge_cleanup(challenges=challenges, task=task)

    def test_it_can_be_used_again(self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask) -> None:
        """An order after another, with the same instance."""
        challenges = self.challenges(hooks, 1)
        for _ in range(2):
            with explained(
                "the second order with one instance", "challenge_cleanup leaves it usable"
            ):
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
        challenge = dataclasses.replace(named, identifier=Identifier("ip", address))
        with explained(f"presenting the address {address}", "an identifier may be an address"):
            hooks.challenge_present(challenges=[challenge], task=task)
        try:
            assert self.is_answer(challenge, fetch(challenge)), (
                f"the address {address} is not answered: an identifier may be an address; with "
                "tls-alpn-01 the SNI is then its name below in-addr.arpa or ip6.arpa (RFC 8738 section 6)"
            )
        finally:
            hooks.challenge_cleanup(challenges=[challenge], task=task)

    def test_two_tokens_for_one_name(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask
    ) -> None:
        """Two orders for one name at once, as of two nodes behind one address.

        With tls-alpn-01 there is one certificate for a name at a time: either may be shown until the
        other order is cleaned up.
        """
        first, other = self.challenges(hooks, 2)
        second = dataclasses.replace(other, identifier=first.identifier)
        hooks.challenge_present(challenges=[first], task=task)
        hooks.challenge_present(challenges=[second], task=task)
        for challenge in (first, second) if first.type != TLS_ALPN else ():
            assert self.is_answer(challenge, fetch(challenge)), (
                f"of two challenges for {challenge.identifier} one is not answered: "
                "keep answers by token (dns: by value), not by name"
            )
        hooks.challenge_cleanup(challenges=[first], task=task)
        assert self.is_answer(second, fetch(second)), (
            f"cleaning one of two challenges for {second.identifier} up took the other one down: "
            "keep answers by token, and where there is one for a name, look whose it is"
        )
        hooks.challenge_cleanup(challenges=[second], task=task)
        for challenge in (first, second):
            assert fetch(challenge) is None, (
                f"{challenge.identifier} had two challenges, both were cleaned up, and it is still "
                "answered: take each down by its token"
            )

    def test_another_process_can_clean_up(
        self, hooks: ChallengeSpec, fetch: Fetch, task: FakeTask, fresh_plugin: Callable[[], object]
    ) -> None:
        """A new instance takes down what one has left whose process ended; not where that listens."""
        before, challenges = _listening(), self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        if _listening() - before:
            pytest.skip("what listens ends with its process")
        other: ChallengeSpec = seam.bind("challenge", fresh_plugin()).hooks
        other.challenge_cleanup(challenges=challenges, task=task)
        for challenge in challenges:
            assert fetch(challenge) is None, (
                f"a new instance does not take {challenge.identifier} down: "
                "find what is to be removed by the challenge alone, "
                "nothing may be remembered from challenge_present"
            )

    def test_nothing_listens_after_clean_up(self, hooks: ChallengeSpec, task: FakeTask) -> None:
        """A port that stays open is in the way of the next order, and of whoever it belongs to."""
        before = _listening()
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        end = seam.monotonic() + _LONGEST_GOODBYE
        while (left := _listening() - before) and seam.monotonic() < end:
            seam.sleep(0.05)
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
        assert not any(challenge.key_authorization in shown for challenge in challenges), (
            "the log or repr() shows a key authorization: log the identifier, or the token alone"
        )

    def test_what_cannot_be_presented_is_an_error(
        self, plugin: object, broken_plugin: object | None, tmp_path: Path, task: FakeTask
    ) -> None:
        """Or the authority counts a failed validation, and nobody learns why."""
        broken = _without_its_folder(plugin, tmp_path) if broken_plugin is None else broken_plugin
        if broken is None:
            pytest.skip("override 'broken_plugin': return the plugin where presenting must fail")
        hooks: ChallengeSpec = seam.bind("challenge", broken).hooks
        challenges = self.challenges(hooks, 1)
        try:
            hooks.challenge_present(challenges=challenges, task=task)
        except ProviderError:
            return
        except PvefwError as error:
            raise AssertionError(
                f"what cannot be presented ends in {error}: catch OSError and what your API raises, "
                "and raise ProviderError with what to do about it"
            ) from error
        raise AssertionError(
            "a challenge cannot be presented, and challenge_present returns as if all were well: "
            "raise ProviderError, a line in the log is not enough"
        )

    def test_private_keys_are_private(
        self, hooks: ChallengeSpec, plugin: object, task: FakeTask
    ) -> None:
        """In the folders that settings name: nobody else reads a key that is written there."""
        hooks.challenge_present(challenges=self.challenges(hooks, 1), task=task)
        for path in (path for folder in _folders(plugin) for path in folder.rglob("*")):
            if path.is_file() and b"PRIVATE KEY-----" in path.read_bytes():
                assert not path.stat().st_mode & _OPEN_TO_OTHERS, (
                    f"others can read {path.name}, which has a private key: write it with "
                    "replace_file(…, mode=0o600)"
                )

    def test_clean_up_leaves_no_file(
        self, hooks: ChallengeSpec, plugin: object, task: FakeTask
    ) -> None:
        """In the folders that settings name: what was written there is gone, copies too."""
        before = _files(plugin)
        challenges = self.challenges(hooks, 2)
        hooks.challenge_present(challenges=challenges, task=task)
        hooks.challenge_cleanup(challenges=challenges, task=task)
        left = sorted(file.name for file in _files(plugin) - before)
        assert not left, (
            f"after challenge_cleanup {', '.join(left)} is left: remove every file that "
            "challenge_present has written, or folders fill up with old answers"
        )


def _folders(plugin: object) -> list[Path]:
    """The folders that the plugin's settings name."""
    if not dataclasses.is_dataclass(plugin):
        return []
    settings = (getattr(plugin, field_.name) for field_ in dataclasses.fields(plugin))
    return [setting for setting in settings if isinstance(setting, Path) and setting.is_dir()]


def _files(plugin: object) -> set[Path]:
    return {path for folder in _folders(plugin) for path in folder.rglob("*") if path.is_file()}


def _without_its_folder(plugin: object, tmp_path: Path) -> object | None:
    """The plugin with a file where its folders would have to be; ``None`` where it has none."""
    named = [
        field_.name
        for field_ in (dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ())
        if field_.init and getattr(plugin, field_.name) in _folders(plugin)
    ]
    if not named:
        return None
    in_the_way = tmp_path / "no-folder"
    in_the_way.write_text("")
    return dataclasses.replace(plugin, **dict.fromkeys(named, in_the_way / "of-a-file"))  # type: ignore[type-var]  # it is a dataclass


def _listening() -> set[str]:
    """Sockets of this process and its descendants that listen, by inode; none without ``/proc``."""
    own = set()
    for process in _family():
        for path in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                own.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows = Path("/proc/net", table).read_text().splitlines()[1:]
            inodes |= {row.split()[9] for row in rows if row.split()[3] == _LISTEN}
    return own & inodes


def _family() -> Iterator[int]:
    """This process, and all that descend from it."""
    waiting = [os.getpid()]
    while waiting:
        error = waiting.pop()
        yield error
        for children in Path(f"/proc/{error}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, children.read_text().split())

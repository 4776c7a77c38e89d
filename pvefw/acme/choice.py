"""Which challenge of an authorization is answered, and by whom (RFC 8555 section 7.5.1)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pvefw.acme import persist
from pvefw.acme.client import Authorization, Client, Offer
from pvefw.core.errors import AcmeError, AcmeProtocolError
from pvefw.core.model import Challenge, Task
from pvefw.store.domains import CHALLENGE_TYPES

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""RFC 8555 section 8.3; plugins make file names of tokens."""


class Solver(Protocol):
    """Who answers challenges: the hooks of a challenge plugin."""

    def challenge_types(self) -> Sequence[str]:
        """The types that it answers, best first."""

    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Make the answers visible."""

    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Take them down."""


@dataclass(frozen=True)
class Way:
    """One way to validate a name."""

    who: str
    """For people: the plugin instance."""
    solver: Callable[[], Solver]
    """Binds it; not called before a challenge might be for it."""
    types: Sequence[str] = ()
    """The only types to answer; empty for all that the solver answers."""

    @classmethod
    def only(cls, solver: Solver, who: str = "the plugin") -> "Sequence[Way]":
        """A solver that is the only way."""
        return (cls(who, lambda: solver),)


@dataclass(frozen=True)
class Choice:
    """A challenge, and who answers it."""

    offer: Offer
    challenge: Challenge
    solver: Solver
    why: str
    """For people; empty where there was nothing to choose."""


def choose(client: Client, authorization: Authorization, ways: Sequence[Way]) -> Choice:
    """The first type of the first way that the authority offers.

    :raises AcmeError: it offers nothing that one of them answers.
    :raises AcmeProtocolError: the challenge is malformed.
    """
    offers = {offered.type: offered for offered in authorization.challenges}
    possible: dict[str, None] = {}
    for way in ways:
        solver = way.solver()
        for kind in _types(way, solver):
            possible[kind] = None
            if kind in offers:
                challenge = _challenge(client, authorization, offers[kind])
                why = _why(authorization, kind, way.who, offers) if len(ways) > 1 else ""
                return Choice(offers[kind], challenge, solver, why)
    raise _nothing_fits(authorization.name, offers, list(possible))


def _types(way: Way, solver: Solver) -> Sequence[str]:
    answered = solver.challenge_types()
    return [type_ for type_ in answered if type_ in way.types] if way.types else answered


def _why(authorization: Authorization, kind: str, who: str, offers: Mapping[str, Offer]) -> str:
    return (
        f"{authorization.name}: {kind} by {who}: it is the first of what this host can answer that "
        f"the authority offers ({', '.join(offers)})"
    )


def _challenge(client: Client, authorization: Authorization, offer: Offer) -> Challenge:
    if offer.type == persist.TYPE:
        return persist.challenge(client, authorization, offer)
    if not _TOKEN.fullmatch(offer.token):
        raise AcmeProtocolError(f"{offer.url}: the token of this challenge is malformed")
    return Challenge(
        offer.type,
        authorization.identifier,
        offer.token,
        client.key_authorization(offer.token),
        account=client.kid or "",
        thumbprint=client.key.thumbprint,
    )


def _nothing_fits(name: str, offers: Mapping[str, Offer], possible: Sequence[str]) -> AcmeError:
    if not offers:
        return AcmeProtocolError(f"{name}: the authority offers no challenge at all")
    offered = ", ".join(offers)
    if not set(offers) & {*CHALLENGE_TYPES, *possible}:
        return AcmeError(
            f"{name}: the authority offers only types of challenges that pvefw does not know: {offered}",
            hint="Upgrade pvefw, install a plugin that answers one of them, or use another authority.",
        )
    return AcmeError(
        f"{name}: the authority offers {offered}, "
        f"the plugin answers {', '.join(possible) or 'nothing'}",
        hint="Give this name a plugin for one of those; a wildcard needs a dns plugin.",
    )

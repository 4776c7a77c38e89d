"""The flow of an order: authorizations, challenges, finalization, download (RFC 8555 section 7.1.6).

It sees only the challenge contract. All challenges are answered before the server is told about any; then
the order itself is polled, one request at a time, however many names it has.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pvefw.acme.client import Authorization, Client, Offer, Order
from pvefw.acme.transport import CONNECTIONS, Transport, problem_of
from pvefw.errors import AcmeError, AcmeProblem, AcmeProtocolError, PvefwError
from pvefw.model import Challenge, Identifier, Task

_FIRST_POLL = 0.02
_SLOWEST_POLL = 5.0
_POLL_GROWTH = 1.5
_WORDLESS_SECONDS = 10.0
"""After so long without an end, the user is told which names are still pending."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""Section 8.3; plugins make file names of tokens."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Solver(Protocol):
    """Who answers challenges: the hooks of a challenge plugin."""

    def challenge_types(self) -> Sequence[str]:
        """The types that it answers, best first."""

    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Make the answers visible."""

    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Take them down."""


@dataclass(frozen=True)
class _Answer:
    """A challenge, and who answers it."""

    authorization: Authorization
    offer: Offer
    challenge: Challenge
    solver: Solver


class OrderFlow:
    """Takes one order from nothing to a certificate.

    :param solvers: who answers, by the name as ordered.
    """

    def __init__(
        self, client: Client, transport: Transport, solvers: Mapping[str, Solver], task: Task
    ) -> None:
        self._client = client
        self._transport = transport
        self._solvers = solvers
        self._task = task

    def place(
        self, identifiers: Sequence[Identifier], *, profile: str = "", replaces: str = ""
    ) -> Order:
        """Place a new order.

        :raises AcmeProblem: the authority refuses it; subproblems say which names are why.
        """
        self._task.log("Placing ACME order")
        order = self._client.new_order(identifiers, profile=profile, replaces=replaces)
        self._task.log(f"Order URL: {order.url}")
        return order

    def resume(self, url: str, identifiers: Sequence[Identifier]) -> Order | None:
        """An order that was placed before, if the server still knows it and it still leads somewhere."""
        try:
            order = self._client.order(url)
        except AcmeError:
            return None
        wanted = {(one.type, one.value) for one in identifiers}
        same = {(one.type, one.value) for one in order.identifiers} == wanted
        if order.status == "invalid" or not same:
            return None
        self._task.log(f"Resuming order {order.url}")
        return order

    def authorize(self, order: Order) -> Order:
        """Have every name of the order validated.

        :returns: the order, ready to be finalized (or further on, when it was resumed).
        :raises AcmeError: names failed, each with the authority's reason.
        :raises ProviderError: a solver failed.
        """
        if order.status != "pending":
            self._task.log("All domains are validated already!")
            return order
        for url in order.authorizations:
            self._task.log(f"Getting authorization details from '{url}'")
        answers = self._answers(_parallel(self._client.authorization, order.authorizations))
        by_solver = _grouped(answers)
        with self._cleaned_up(by_solver):
            _parallel(lambda one: self._present(*one), list(by_solver.values()))
            if answers:
                self._task.log("Triggering validation")
            _parallel(self._respond, answers)
            order = self._poll(order, "pending", self._pending_names)
            if order.status == "invalid":
                raise self._why_invalid(order)
            for one in answers:
                self._task.log(f"Status of {one.authorization.name} is 'valid'")
        self._task.log("All domains validated!")
        return order

    def finalize(self, order: Order, csr: Callable[[], bytes]) -> Order:
        """Send the signing request and wait for the certificate.

        :param csr: makes the request (DER); called only where it is still wanted.
        :returns: the order, valid.
        """
        if order.status in ("ready", "pending"):
            self._task.log("Creating CSR")
            request = csr()
            self._task.log("Checking order status")
            self._task.log("Order is ready, finalizing order")
            order = self._send_request(order, request)
        order = self._poll(order, "processing")
        if order.status != "valid":
            raise self._why_invalid(order)
        self._task.log("valid!")
        return order

    def _send_request(self, order: Order, request: bytes) -> Order:
        """Finalize; if that was done already, the server's answer to the first time was lost."""
        try:
            return self._client.finalize(order, request)
        except AcmeProblem:
            now = self._client.order(order.url)
            if now.status not in ("processing", "valid"):
                raise
            return now

    def download(self, order: Order, preferred_root: str = "") -> bytes:
        """The chain of a valid order, in PEM."""
        self._task.log("Downloading certificate")
        return self._client.certificate(order.certificate, preferred_root)

    # --- challenges ---

    def _answers(self, authorizations: Sequence[Authorization]) -> list[_Answer]:
        answers = []
        for one in authorizations:
            if one.name not in self._solvers:
                raise AcmeProtocolError(f"{one.url}: {one.name} was not ordered")
            if one.status == "valid":
                self._task.log(f"{one.name} is already validated!")
            elif one.status != "pending":
                raise AcmeError(
                    f"{one.name}: its authorization is {one.status}", hint="Order again."
                )
            else:
                self._task.log(f"The validation for {one.name} is pending!")
                answers.append(self._choose(one))
        return answers

    def _choose(self, authorization: Authorization) -> _Answer:
        """The first challenge type of the solver that the server offers."""
        solver = self._solvers[authorization.name]
        types = solver.challenge_types()
        offers = {one.type: one for one in authorization.challenges}
        for kind in types:
            if kind in offers:
                offer = offers[kind]
                if not _TOKEN.fullmatch(offer.token):
                    raise AcmeProtocolError(
                        f"{offer.url}: the token of this challenge is malformed"
                    )
                answer = self._client.key_authorization(offer.token)
                challenge = Challenge(kind, authorization.identifier, offer.token, answer)
                return _Answer(authorization, offer, challenge, solver)
        raise AcmeError(
            f"{authorization.name}: the authority offers {', '.join(offers)}, "
            f"the plugin answers {', '.join(types) or 'nothing'}",
            hint="Give this name a plugin for one of those; a wildcard needs a dns plugin.",
        )

    def _present(self, solver: Solver, challenges: Sequence[Challenge]) -> None:
        solver.challenge_present(challenges=challenges, task=self._task)

    def _respond(self, answer: _Answer) -> None:
        """Tell the server; if it knows already, its answer to the first time was lost."""
        try:
            self._client.respond(answer.offer)
        except AcmeProblem:
            if self._client.authorization(answer.authorization.url).status == "pending":
                raise

    @contextlib.contextmanager
    def _cleaned_up(
        self, by_solver: Mapping[int, tuple[Solver, Sequence[Challenge]]]
    ) -> Iterator[None]:
        """Every solver cleans up, whatever happens, also to another one; failing at it is a warning."""
        try:
            yield
        finally:
            for solver, challenges in by_solver.values():
                try:
                    solver.challenge_cleanup(challenges=challenges, task=self._task)
                except PvefwError as error:
                    self._task.warn(f"Clean-up failed: {error.message}")

    # --- polling ---

    def _poll(
        self, order: Order, status: str, tell: Callable[[Order], None] | None = None
    ) -> Order:
        """Fetch the order until it is in another status.

        Often at first, then less so; a server that names a time is asked then.
        """
        pause, silent = _FIRST_POLL, 0.0
        order = order if status == "processing" else self._client.order(order.url)
        while order.status == status:
            seconds = pause if order.retry_after is None else order.retry_after
            self._transport.pause(seconds, order.url)
            silent += seconds
            if tell and silent >= _WORDLESS_SECONDS:
                tell(order)
                silent = 0.0
            order = self._client.order(order.url)
            pause = min(pause * _POLL_GROWTH, _SLOWEST_POLL)
        return order

    def _pending_names(self, order: Order) -> None:
        found = _parallel(self._client.authorization, order.authorizations)
        pending = ", ".join(one.name for one in found if one.status == "pending")
        self._task.log(f"Still pending: {pending}")

    def _why_invalid(self, order: Order) -> AcmeError:
        """The authority's reason for each name that failed."""
        reasons = [
            _failure(one) for one in _parallel(self._client.authorization, order.authorizations)
        ]
        failed = [one for one in reasons if one is not None]
        if failed:
            kinds = {one.type for one in failed}
            return AcmeProblem(
                "; ".join(one.message for one in failed),
                type=failed[0].type if len(kinds) == 1 else "compound",
                detail="; ".join(one.detail for one in failed),
                hint=_advice(kinds) or failed[0].hint,
                subproblems={
                    key: value for one in failed for key, value in one.subproblems.items()
                },
            )
        if order.error:
            return problem_of(dict(order.error), f"order {order.url}")
        return AcmeError(f"order {order.url}: the authority says {order.status}, without a reason")


def _failure(authorization: Authorization) -> AcmeProblem | None:
    if authorization.status == "valid":
        return None
    for offer in authorization.challenges:
        if offer.error:
            problem = problem_of(dict(offer.error), authorization.name)
            problem.subproblems.setdefault(authorization.name, problem.detail)
            return problem
    return None


def _advice(kinds: set[str]) -> str:
    match sorted(kinds):
        case ["connection"]:
            return (
                "The authority must reach port 80 of these names: check DNS, firewall and routing."
            )
        case ["dns"]:
            return "The authority cannot look these names up: check the zone and its name servers."
        case ["unauthorized"] | ["incorrectResponse"]:
            return "Somebody else answers for these names: check where they point to."
    return ""


def _grouped(answers: Sequence[_Answer]) -> dict[int, tuple[Solver, list[Challenge]]]:
    """The challenges by who answers them; solvers need not be hashable."""
    groups: dict[int, tuple[Solver, list[Challenge]]] = {}
    for one in answers:
        groups.setdefault(id(one.solver), (one.solver, []))[1].append(one.challenge)
    return groups


def _parallel(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Call a function for every item, a few at a time; raise the first failure."""
    if len(items) == 1:
        return [function(items[0])]
    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise

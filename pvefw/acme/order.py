"""The flow of an order: authorizations, challenges, finalization, download (RFC 8555 section 7.1.6).

It sees only the challenge contract. All challenges are answered before the server is told about any; then
the order itself is polled, one request at a time, however many names it has.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.x509.oid import NameOID

from pvefw.acme.answers import problem_of
from pvefw.acme.choice import Solver, Way, choose
from pvefw.acme.client import Authorization, Client, Offer, Order
from pvefw.acme.transport import CONNECTIONS, Transport
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AnswersDisplaced,
    PvefwError,
)
from pvefw.core.model import Challenge, Identifier, Task
from pvefw.host.concurrency import side_by_side

_FIRST_POLL = 0.02
_SLOWEST_POLL = 5.0
_POLL_GROWTH = 1.5
_WORDLESS_SECONDS = 10.0
"""After so long without an end, the user is told which names are still pending."""


@dataclass(frozen=True)
class _Answer:
    """A challenge, and who answers it."""

    authorization: Authorization
    offer: Offer
    challenge: Challenge
    solver: Solver


class OrderFlow:
    """Takes one order from nothing to a certificate.

    :param ways: how each name can be validated, best first; by the name as ordered.
    """

    def __init__(
        self, client: Client, transport: Transport, ways: Mapping[str, Sequence[Way]], task: Task
    ) -> None:
        self._client = client
        self._transport = transport
        self._ways = ways
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
        """An order that was placed before, if the server still knows it and it still leads somewhere.

        :raises AcmeUnreachable: the server cannot be asked; the order may still be good later.
        """
        try:
            order = self._client.order(url)
        except (AcmeProblem, AcmeProtocolError):
            return None
        wanted = {(identifier.type, identifier.value) for identifier in identifiers}
        same = {(identifier.type, identifier.value) for identifier in order.identifiers} == wanted
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
        answers = self._answers(
            side_by_side(self._client.authorization, order.authorizations, CONNECTIONS)
        )
        by_solver = _grouped(answers)
        with self._cleaned_up(by_solver):
            shown = side_by_side(
                lambda pair: self._present(*pair), list(by_solver.values()), CONNECTIONS
            )
            singly = {
                key: failure
                for key, failure in zip(by_solver, shown, strict=True)
                if failure is not None
            }
            self._transport.start_anew()  # DNS may have taken hours
            if answers:
                self._task.log("Triggering validation")
            side_by_side(
                self._respond,
                [answer for answer in answers if id(answer.solver) not in singly],
                CONNECTIONS,
            )
            for key, seconds in singly.items():
                self._one_by_one(
                    [answer for answer in answers if id(answer.solver) == key], seconds
                )
            order = self._poll(self._client.order(order.url), "pending")
            if order.status == "invalid":
                raise self._why_invalid(order)
            for answer in answers:
                self._task.log(f"Status of {answer.authorization.name} is 'valid'")
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
        order = self._poll(order, "ready", "processing")
        if order.status != "valid":
            raise self._why_invalid(order)
        if not order.certificate:
            raise AcmeProtocolError(f"{order.url}: the order is valid, but names no certificate")
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
        """The chain of a valid order, in PEM.

        :param preferred_root: of several chains, the one whose last certificate was issued by this common
            name; where there is none, the server's default chain, with a warning.
        """
        self._task.log("Downloading certificate")
        chains = self._client.chains(order.certificate)
        default = next(chains)
        if not preferred_root:
            return default
        roots = [_topmost_issuer(default, order.certificate)]
        if roots[0] == preferred_root:
            return default
        try:
            for chain in chains:
                roots.append(_topmost_issuer(chain, order.certificate))
                if roots[-1] == preferred_root:
                    return chain
        except AcmeError as error:  # a wish is no reason to have no certificate
            self._task.warn(
                f"Whether a chain leads to {preferred_root} is not known; the authority's first one is "
                f"used: {error.message}"
            )
            return default
        self._task.warn(
            f"No chain leads to {preferred_root}; the authority offers {', '.join(roots)}, "
            "the first of which is used"
        )
        return default

    # --- challenges ---

    def _answers(self, authorizations: Sequence[Authorization]) -> list[_Answer]:
        answers = []
        for authorization in self._as_ordered(authorizations):
            if authorization.status == "valid":
                self._task.log(f"{authorization.name} is already validated!")
            elif authorization.status != "pending":
                raise _failed(authorization)
            else:
                self._task.log(f"The validation for {authorization.name} is pending!")
                answers.append(self._choose(authorization))
        return answers

    def _as_ordered(self, authorizations: Sequence[Authorization]) -> list[Authorization]:
        """Each for the name that was ordered: some authorities do not mark those of wildcards."""
        taken: set[str] = set()
        pairs = []
        for authorization in sorted(authorizations, key=lambda candidate: not candidate.wildcard):
            both = (authorization, replace(authorization, wildcard=not authorization.wildcard))
            ordered = [pair for pair in both if pair.name in self._ways]
            if not ordered:
                raise AcmeProtocolError(
                    f"{authorization.url}: {authorization.name} was not ordered"
                )
            pairs.append(next((pair for pair in ordered if pair.name not in taken), ordered[0]))
            taken.add(pairs[-1].name)
        return pairs

    def _choose(self, authorization: Authorization) -> _Answer:
        choice = choose(self._client, authorization, self._ways[authorization.name])
        if choice.why:
            self._task.log(choice.why)
        return _Answer(authorization, choice.offer, choice.challenge, choice.solver)

    def _present(self, solver: Solver, challenges: Sequence[Challenge]) -> float | None:
        """Make all answers of a solver visible at once.

        :returns: where they displace each other, for how many seconds one may be remembered.
        """
        try:
            solver.challenge_present(challenges=challenges, task=self._task)
        except AnswersDisplaced as error:
            if len(challenges) == 1:
                raise
            self._task.log(f"Validating one name after the other: {error.message}")
            self._clean_up(solver, challenges)
            return error.seconds
        return None

    def _one_by_one(self, answers: Sequence[_Answer], seconds: float) -> None:
        """Validate name after name, where there is room for one answer only.

        :param seconds: to wait in between, so that the authority's resolvers forget the one before.
        """
        for number, answer in enumerate(answers):
            if number and seconds:
                self._task.log(
                    f"Waiting for {seconds + 1:g} seconds until the last value has expired"
                )
                self._transport.pause(seconds + 1, answer.authorization.url)
            self._validate_alone(answer)

    def _validate_alone(self, answer: _Answer) -> None:
        """Show one answer, have it validated, and take it down."""
        with self._cleaned_up({0: (answer.solver, [answer.challenge])}):
            self._present(answer.solver, [answer.challenge])
            self._transport.start_anew()
            self._respond(answer)
            url, pause = answer.authorization.url, _FIRST_POLL
            while (now := self._client.authorization(url)).status == "pending":
                self._transport.pause(pause, url)
                pause = min(pause * _POLL_GROWTH, _SLOWEST_POLL)
        if now.status != "valid":
            raise _failed(now)

    def _respond(self, answer: _Answer) -> None:
        """Tell the server; if it knows already, its answer to the first time was lost."""
        try:
            self._client.respond(answer.offer)
        except AcmeProblem:
            now = self._client.authorization(answer.authorization.url)
            offers = {challenge.url: challenge.status for challenge in now.challenges}
            if now.status == "pending" and offers.get(answer.offer.url) == "pending":
                raise

    @contextlib.contextmanager
    def _cleaned_up(
        self, by_solver: Mapping[int, tuple[Solver, Sequence[Challenge]]]
    ) -> Iterator[None]:
        """Every solver cleans up, whatever happens, also to another one; failing at it is a warning."""
        with contextlib.ExitStack() as last:
            for solver, challenges in by_solver.values():
                last.callback(self._clean_up, solver, challenges)
            yield

    def _clean_up(self, solver: Solver, challenges: Sequence[Challenge]) -> None:
        try:
            solver.challenge_cleanup(challenges=challenges, task=self._task)
        except PvefwError as error:
            self._task.warn(f"Clean-up failed: {error.message}")

    # --- polling ---

    def _poll(self, order: Order, *statuses: str) -> Order:
        """Fetch the order until it is in none of these statuses.

        Often at first, then less so; a server that names a time is asked then.
        """
        pause, silent = _FIRST_POLL, 0.0
        while order.status in statuses:
            seconds = order.retry_after or pause  # 0 is no permission to ask without a pause
            self._transport.pause(seconds, order.url)
            silent += seconds
            if silent >= _WORDLESS_SECONDS:
                self._tell_pending(order)
                silent = 0.0
            order = self._client.order(order.url)
            pause = min(pause * _POLL_GROWTH, _SLOWEST_POLL)
        return order

    def _tell_pending(self, order: Order) -> None:
        """Tell the user what the authority is still at.

        :raises AcmeError: a name has failed; some authorities leave its order pending all the same.
        """
        if order.status != "pending":
            self._task.log(f"The order is still {order.status}")
            return
        latest = side_by_side(self._client.authorization, order.authorizations, CONNECTIONS)
        for authorization in latest:
            if authorization.status == "invalid":
                raise self._why_invalid(order)
            if authorization.status not in ("pending", "valid"):
                raise _failed(authorization)
        pending = ", ".join(
            authorization.name for authorization in latest if authorization.status == "pending"
        )
        self._task.log(
            f"Still pending: {pending or 'the order itself, although all names are validated'}"
        )

    def _why_invalid(self, order: Order) -> AcmeError:
        """The authority's reason for each name that failed."""
        latest = side_by_side(self._client.authorization, order.authorizations, CONNECTIONS)
        reasons = [_failure(authorization) for authorization in latest]
        failed = [error for error in reasons if error is not None]
        if failed:
            kinds = {error.type for error in failed}
            return AcmeProblem(
                "; ".join(error.message for error in failed),
                type=failed[0].type if len(kinds) == 1 else "compound",
                detail="; ".join(error.detail for error in failed),
                hint=" ".join(dict.fromkeys(error.hint for error in failed if error.hint)),
                subproblems={
                    key: value for error in failed for key, value in error.subproblems.items()
                },
            )
        if order.error:
            return problem_of(order.error, f"order {order.url}")
        invalid = ", ".join(
            authorization.name for authorization in latest if authorization.status == "invalid"
        )
        what, status = (invalid, "invalid") if invalid else (f"order {order.url}", order.status)
        return AcmeError(
            f"{what}: the authority says {status}, without a reason",
            hint="Order again; if that does not help, ask the authority.",
        )


def _failed(authorization: Authorization) -> AcmeError:
    """Why a name is not validated, whatever the authority says of it."""
    return _failure(authorization) or AcmeError(
        f"{authorization.name}: its authorization is {authorization.status}", hint="Order again."
    )


def _failure(authorization: Authorization) -> AcmeProblem | None:
    if authorization.status == "valid":
        return None
    for offer in authorization.challenges:
        if offer.error:
            problem = problem_of(offer.error, authorization.name)
            problem.hint = _ADVICE.get((offer.type, problem.type), problem.hint)
            problem.subproblems.setdefault(authorization.name, problem.detail)
            return problem
    return None


_NOT_OURS = (
    "Something else answers for these names: check where they point to. With a webroot, check that the "
    "web server serves that directory and may read WEBROOT/.well-known/acme-challenge."
)
_NO_HANDSHAKE = (
    "Something else answers on port 443 of these names: let it pass acme-tls/1 on, as the README of "
    "pvefw-acme-tls-alpn shows, or check where they point to."
)
_NO_RECORD = "See what is missing: pvefw acme persist check DOMAIN"
_ADVICE = {
    ("http-01", "connection"): "The authority must reach port 80 of these names: "
    "check DNS, firewall and routing.",
    ("http-01", "dns"): "The authority cannot look up these names: "
    "check the zone and its name servers.",
    ("http-01", "unauthorized"): _NOT_OURS,
    ("http-01", "incorrectResponse"): _NOT_OURS,
    ("tls-alpn-01", "connection"): "The authority must reach port 443 of these names, and what "
    "listens there must pass acme-tls/1 on: check DNS, firewall and routing.",
    ("tls-alpn-01", "tls"): _NO_HANDSHAKE,
    ("tls-alpn-01", "unauthorized"): _NO_HANDSHAKE,
    ("dns-persist-01", "dns"): _NO_RECORD,
    ("dns-persist-01", "unauthorized"): _NO_RECORD,
    ("dns-01", "dns"): "The authority cannot look up the TXT record: "
    "check the zone's delegation, its DNSSEC and its name servers.",
    ("dns-01", "unauthorized"): "The authority saw no TXT record, or another one: "
    "look for warnings above, check that the zone is the public one, and give it time with a longer "
    "validation delay.",
}
"""What to do about a failed validation, by type of challenge and of problem."""


def _grouped(answers: Sequence[_Answer]) -> dict[int, tuple[Solver, list[Challenge]]]:
    """The challenges by who answers them; solvers need not be hashable."""
    groups: dict[int, tuple[Solver, list[Challenge]]] = {}
    for answer in answers:
        groups.setdefault(id(answer.solver), (answer.solver, []))[1].append(answer.challenge)
    return groups


def _topmost_issuer(chain: bytes, what: str) -> str:
    """The common name of the root that a chain leads to."""
    try:
        top = x509.load_pem_x509_certificates(chain)[-1]
    except ValueError as error:
        raise AcmeProtocolError(f"{what}: a certificate cannot be read") from error
    names = top.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""

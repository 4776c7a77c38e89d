"""The flow of an order, against Pebble: who is called when, what fails, what is resumed."""

import re

import pytest
from cryptography import x509
from ordering import Believed, Listening, Ordering, identifier
from servers import faulty_acme as faults
from servers.faulty_acme import faulty_acme
from servers.pebble import pebble as run_pebble
from servers.processes import free_port

from pvefw.acme.client import Authorization, Offer
from pvefw.acme.order import _failure
from pvefw.certs import chain as chains
from pvefw.certs import keys
from pvefw.core.errors import AcmeError, AcmeProblem, AcmeUnreachable, ProviderError
from pvefw.core.model import Identifier
from pvefw.host.clock import SystemClock


@pytest.fixture(scope="module")
def trusting(tmp_path_factory):
    """A Pebble that validates nothing, with three chains."""
    workdir = tmp_path_factory.mktemp("trusting")
    with run_pebble(workdir, always_valid=True, alternate_roots=2, nonce_reject=0) as server:
        yield server


def believed(server, solvers, **options):
    return Ordering(server.directory, server.ca_file, solvers, **options)


def names_of(calls):
    return [sorted(str(challenge.identifier) for challenge in call) for call in calls]


def sans(pem):
    return sorted(chains.names(x509.load_pem_x509_certificates(pem)[0]))


# --- who is called --------------------------------------------------------------------------------


def test_each_solver_is_called_once_with_all_of_its_challenges(trusting):
    first, second = Believed(), Believed("dns-01")
    solvers = {"a.example": first, "b.example": second, "c.example": first, "*.c.example": second}
    pem = believed(trusting, solvers).run()
    assert sans(pem) == ["*.c.example", "a.example", "b.example", "c.example"]
    assert names_of(first.presented) == [["a.example", "c.example"]]
    assert names_of(second.presented) == [["b.example", "c.example"]]
    for solver in (first, second):
        assert solver.cleaned == solver.presented
        for challenge in solver.presented[0]:
            assert challenge.type == solver.types[0]
            assert challenge.key_authorization.startswith(f"{challenge.token}.")


def test_a_name_and_its_wildcard_are_two_challenges_for_one_identifier(trusting):
    solver = Believed("dns-01")
    pem = believed(trusting, {"a.example": solver, "*.a.example": solver}).run()
    assert sans(pem) == ["*.a.example", "a.example"]
    [both] = solver.presented
    assert [str(challenge.identifier) for challenge in both] == ["a.example", "a.example"]
    assert len({challenge.dns_value for challenge in both}) == 2


def test_the_solvers_order_of_types_decides(trusting):
    solver = Believed("dns-01", "http-01")
    believed(trusting, {"a.example": solver}).run()
    assert solver.presented[0][0].type == "dns-01"


def test_a_solver_that_answers_nothing_that_is_offered(trusting):
    solvers = {"a.example": Believed(), "*.a.example": Believed("http-01")}
    with pytest.raises(AcmeError) as caught:
        believed(trusting, solvers).run()
    offered = (
        r"(dns-account-01, )?dns-01(, dns-account-01)?"  # the other by newer Pebbles, anywhere
    )
    assert re.fullmatch(
        rf"\*\.a\.example: the authority offers {offered}, the plugin answers http-01",
        caught.value.message,
    )
    assert all(solver.presented == solver.cleaned == [] for solver in solvers.values())


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048"])
def test_http_01_for_names_and_addresses_with_every_type_of_account_key(pebble, key_type):
    solver = Listening(pebble.http_port)
    solvers = dict.fromkeys(["a.example", "b.example", "127.0.0.1"], solver)
    ordering = believed(pebble, solvers, key_type=key_type)
    assert sans(ordering.run()) == ["127.0.0.1", "a.example", "b.example"]
    assert set(solver.asked) == {challenge.token for challenge in solver.presented[0]}


@pytest.mark.parametrize("reject", [30, 70])
def test_refused_nonces_do_not_matter(tmp_path, reject):
    with run_pebble(tmp_path, nonce_reject=reject) as server:
        solver = Listening(server.http_port)
        names = [f"{number}.example" for number in range(20)]
        assert sans(believed(server, dict.fromkeys(names, solver)).run()) == sorted(names)


def test_the_time_that_a_solver_takes_is_not_the_servers(trusting):
    class Ahead(SystemClock):
        by = 0.0

        def monotonic(self):
            return super().monotonic() + self.by

    class Slow(Believed):
        def challenge_present(self, challenges, task):
            super().challenge_present(challenges, task)
            order.transport._clock.by += 21

    order = believed(trusting, {"a.example": Slow()}, seconds=20)
    order.transport._clock = Ahead()
    assert order.run()


# --- what fails -----------------------------------------------------------------------------------


class Broken(Believed):
    """A solver whose calls raise."""

    def __init__(self, *, present=None, cleanup=None):
        super().__init__()
        self.errors = {"present": present, "cleanup": cleanup}

    def challenge_present(self, challenges, task):
        super().challenge_present(challenges, task)
        if self.errors["present"]:
            raise self.errors["present"]

    def challenge_cleanup(self, challenges, task):
        super().challenge_cleanup(challenges, task)
        if self.errors["cleanup"]:
            raise self.errors["cleanup"]


def test_a_solver_that_fails_ends_the_order_and_all_clean_up(trusting):
    good, bad = Believed(), Broken(present=ProviderError("bad: out of cheese"))
    ordering = believed(trusting, {"a.example": good, "b.example": bad})
    with pytest.raises(ProviderError, match="out of cheese"):
        ordering.run()
    assert names_of(good.cleaned) == [["a.example"]]  # it may have been about to begin
    assert bad.cleaned == bad.presented
    assert "Triggering validation" not in ordering.task.lines


def test_a_clean_up_that_fails_is_a_warning(trusting):
    good, bad = Believed(), Broken(cleanup=ProviderError("bad: out of cheese"))
    ordering = believed(trusting, {"a.example": bad, "b.example": good})
    assert sans(ordering.run()) == ["a.example", "b.example"]
    assert ordering.task.warnings == ["Clean-up failed: bad: out of cheese"]
    assert good.cleaned == good.presented


def test_a_clean_up_with_a_fault_does_not_stop_the_others(trusting):
    solvers = {f"{n}.example": Broken(cleanup=ZeroDivisionError(str(n))) for n in range(3)}
    with pytest.raises(ZeroDivisionError):
        believed(trusting, solvers).run()
    assert all(solver.cleaned == solver.presented != [] for solver in solvers.values())


def test_a_clean_up_that_fails_does_not_hide_why_the_order_did(trusting):
    bad = Broken(
        present=ProviderError("bad: out of cheese"), cleanup=ProviderError("bad: out of wine")
    )
    ordering = believed(trusting, {"a.example": bad})
    with pytest.raises(ProviderError, match="out of cheese"):
        ordering.run()
    assert ordering.task.warnings == ["Clean-up failed: bad: out of wine"]


def test_the_authoritys_reason_reaches_the_user_by_domain(pebble):
    """One name points elsewhere, at another something else answers, the third is fine."""
    pebble.address("unreachable.example", "127.0.0.9")
    pebble.address("foreign.example", "127.0.0.8")
    here = Listening(pebble.http_port)
    foreign = Listening(pebble.http_port, "127.0.0.8")
    foreign.challenge_present([], None)
    names = ["fine.example", "unreachable.example", "foreign.example"]
    ordering = believed(pebble, dict.fromkeys(names, here))
    try:
        with pytest.raises(AcmeProblem) as caught:
            ordering.run()
    finally:
        foreign.challenge_cleanup([], None)
    problem = caught.value
    failed = {"unreachable.example": "127.0.0.9", "foreign.example": "404"}
    seen = {name: why for name, why in failed.items() if name in problem.subproblems}
    assert seen  # Pebble may end the order with the first name that fails
    for name, why in seen.items():
        assert why in problem.subproblems[name]
        assert f"{name}: " in problem.message
    assert "fine.example" not in problem.message
    assert problem.hint
    assert here.cleaned == here.presented


def test_what_to_do_depends_on_what_failed():
    def failure(kind, problem):
        error = {"type": f"urn:ietf:params:acme:error:{problem}", "detail": "no"}
        offers = [Offer("tls-alpn-01", "", "pending", ""), Offer(kind, "", "invalid", "t", error)]
        return _failure(Authorization("", "invalid", Identifier("dns", "a.example"), True, offers))

    assert failure("http-01", "connection").message == "*.a.example: no [connection]"
    assert "port 80" in failure("http-01", "connection").hint
    assert "TXT record" in failure("dns-01", "unauthorized").hint
    assert "port 80" not in failure("dns-01", "connection").hint
    assert "CAA record" in failure("dns-01", "caa").hint


def test_the_user_is_told_which_names_are_still_pending(trusting, tmp_path):
    with faulty_acme(trusting, tmp_path) as proxy:

        def pending(_proxy, _handler, answer):
            body = answer.body.replace(b'"ready"', b'"pending"')
            return faults.Answer(answer.status, answer.headers | {"Retry-After": "11"}, body)

        def awaiting(_proxy, _handler, answer):
            body = answer.body.replace(b'"valid"', b'"pending"')
            return faults.Answer(answer.status, answer.headers, body)

        proxy.fail("POST /my-order/", pending, times=2)
        proxy.fail("POST /authZ/", awaiting, times=4)
        solvers = dict.fromkeys(["a.example", "b.example"], Believed())
        ordering = Ordering(proxy.directory, proxy.ca_file, solvers)
        ordering.run()
    assert ordering.task.waited.count(11.0) == 2
    [told, _] = [line for line in ordering.task.lines if line.startswith("Still pending")]
    assert sorted(told.removeprefix("Still pending: ").split(", ")) == ["a.example", "b.example"]


# --- chains ---------------------------------------------------------------------------------------


def roots(server):
    found = [x509.load_pem_x509_certificate(server.root(number)) for number in range(3)]
    return [chains._common_name(root) for root in found]


@pytest.mark.parametrize("number", range(3))
def test_the_preferred_chain(trusting, number):
    root = roots(trusting)[number]
    with believed(trusting, {"a.example": Believed()}) as ordering:
        pem = ordering.finish(ordering.place(), root)
    assert root in chains.parse(pem, "chain")[-1].issuer.rfc4514_string()
    assert ordering.task.warnings == []


def test_a_preferred_chain_that_is_not_offered(trusting):
    with believed(trusting, {"a.example": Believed()}) as ordering:
        pem = ordering.finish(ordering.place(), "No Such Root")
    assert sans(pem) == ["a.example"]
    [warning] = ordering.task.warnings
    assert warning.startswith("No chain leads to No Such Root")
    assert all(root in warning for root in roots(trusting))


# --- interrupted orders ---------------------------------------------------------------------------


def steps(ordering, order, upto):
    """Take an order so far and no farther."""
    if upto in ("authorize", "finalize", "download"):
        order = ordering.flow.authorize(order)
    if upto in ("finalize", "download"):
        order = ordering.flow.finalize(order, ordering.csr)
    if upto == "download":
        ordering.flow.download(order)


@pytest.mark.parametrize("upto", ["place", "authorize", "finalize", "download"])
def test_an_interrupted_order_goes_on_where_it_was(trusting, upto):
    solver = Believed()
    with believed(trusting, {"a.example": solver, "b.example": solver}) as ordering:
        placed = ordering.place()
        steps(ordering, placed, upto)
        resumed = ordering.flow.resume(placed.url, ordering.identifiers)
        assert resumed is not None
        pem = ordering.finish(resumed)
    assert sans(pem) == ["a.example", "b.example"]
    assert len(solver.presented) == 1
    chains.check_pair(pem, keys.to_pem(ordering.key), "pair", SystemClock().now())


def test_an_order_that_does_not_help_any_more_is_left(trusting, pebble):
    with believed(trusting, {"a.example": Believed()}) as ordering:
        placed = ordering.place()
        more = [*ordering.identifiers, identifier("b.example")]
        assert ordering.flow.resume(placed.url, more) is None
        assert ordering.flow.resume(placed.url + "0", ordering.identifiers) is None
    pebble.address("nowhere.example", "127.0.0.9")
    with believed(pebble, {"nowhere.example": Believed()}) as ordering:
        placed = ordering.place()
        with pytest.raises(AcmeProblem):
            ordering.finish(placed)
        assert ordering.flow.resume(placed.url, ordering.identifiers) is None


def test_an_order_is_not_given_up_because_the_server_is_away(trusting):
    with believed(trusting, {"a.example": Believed()}) as ordering:
        ordering.place()
        with pytest.raises(AcmeUnreachable):
            ordering.flow.resume(f"https://127.0.0.1:{free_port()}/o", ordering.identifiers)

"""What DNS and its servers answer rarely, without any server: answers are made here."""

import socket
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from servers.nameserver import free_dns_port

from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    NotFound,
    ProviderError,
    StoreError,
    Unavailable,
)
from pvefw.dns import cleanup, journal, parallel, probe, publication, standing
from pvefw.dns.publication import Publication, Route
from pvefw.dns.resolver import NoAnswer, Resolver, Server, question
from pvefw.dns.zones import Finder, Place, Zone
from pvefw.host.clock import SystemClock
from pvefw.store import certificates, files
from pvefw.store.node import Node
from pvefw.testing.fakes import FakeTask


def answer(query, *, rcode="NOERROR", aa=True, **sections):
    """An answer with records: ``authority=["example. NS ns.example."]``."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.from_text(rcode))
    reply.flags |= dns.flags.AA if aa else 0
    for section, lines in sections.items():
        for line in lines:
            name, kind, text = line.split(" ", 2)
            getattr(reply, section).append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return reply


class Answers(Resolver):
    """Answers of the recursive servers by name and type, and of all others by name."""

    def __init__(self, recursive, authoritative=None):
        super().__init__([Server("192.0.2.53")])
        self._recursive = recursive
        self._authoritative = authoritative or (lambda _name: {})

    def ask(self, name, kind):
        made = self._recursive(name, kind)
        if made is None:
            raise Unavailable(f"DNS: {kind} of {name} cannot be looked up")
        return answer(question(name, kind), **made)

    def exchange(self, server, questions, seconds=0.0):
        made = [self._authoritative(str(asked.question[0].name)) for asked in questions]
        return [
            reply if isinstance(reply, NoAnswer) else answer(asked, **reply)
            for asked, reply in zip(questions, made, strict=True)
        ]


def delegated(name, kind):
    """One zone, its server and that one's address."""
    return {
        ("test.", "SOA"): {"answer": ["test. SOA ns.test. a.test. 1 1 1 1 1"]},
        ("test.", "NS"): {"answer": ["test. NS ns.test."]},
        ("ns.test.", "A"): {"answer": ["ns.test. A 192.0.2.1"]},
    }.get((name, kind), {})


# --- zones --------------------------------------------------------------------------------------------


def test_delegations_that_do_not_end_are_an_error():
    name = "_acme-challenge." + "x." * 30 + "test."

    def one_deeper(_asked):
        one_deeper.cut = f"x.{one_deeper.cut}"
        return {"aa": False, "authority": [f"{one_deeper.cut} NS ns.test."]}

    one_deeper.cut = "test."

    def recursive(asked, kind):
        if kind == "SOA" and asked.endswith("x.test."):
            return {"authority": ["test. SOA ns.test. a.test. 1 1 1 1 1"]}
        return delegated(asked, kind)

    with pytest.raises(ProviderError) as caught:
        Finder(Answers(recursive, one_deeper)).place(name)
    assert caught.value.message == f"{name}: more than 16 delegations in a row"


def test_resolvers_that_know_no_zone_at_all():
    with pytest.raises(Unavailable) as caught:
        Finder(Answers(lambda _name, _kind: {})).place("_acme-challenge.a.test.")
    assert "not even the root" in caught.value.message
    assert caught.value.hint == "Name other servers: pvefw config set --resolvers IP,IP"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({("test.", "NS"): None}, "DNS: NS of test. cannot be looked up"),
        ({("test.", "NS"): {}}, "DNS: test. has no name servers: no NS records"),
        (
            {("test.", "NS"): {"rcode": "NXDOMAIN"}},
            "DNS: test. has no name servers: no such name",
        ),
        ({("ns.test.", "A"): None}, "DNS: no addresses of ns.test. are known"),
    ],
)
def test_a_zone_without_servers_says_why(changed, problem):
    def recursive(name, kind):
        return changed.get((name, kind), delegated(name, kind))

    finder = Finder(Answers(recursive))
    assert finder.zone("test.") == Zone("test.", (), problem)
    [shown] = standing.look(finder, "_acme-challenge.a.test.")
    assert (shown.server, shown.problem) == ("test.", problem)


def test_a_delegation_that_the_resolvers_do_not_see_yet_is_followed_by_its_glue():
    """The zone above has just been changed; its own servers know where the new ones are."""

    def authoritative(_name):
        return {
            "aa": False,
            "authority": ["new.test. NS ns.new.test."],
            "additional": ["ns.new.test. A 192.0.2.9"],
        }

    def recursive(name, kind):
        if (name, kind) == ("ns.new.test.", "A"):
            return None
        if name.endswith("new.test."):
            return {"authority": ["test. SOA ns.test. a.test. 1 1 1 1 1"]}
        return delegated(name, kind)

    place = Finder(Answers(recursive, authoritative)).place("_acme-challenge.new.test.")
    assert place.zone.name == "new.test."
    assert [str(server) for server in place.zone.servers] == ["ns.new.test (192.0.2.9)"]


# --- what servers show ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "problem", "values"),
    [
        (NoAnswer("no answer in time"), "no answer in time", []),
        ({"rcode": "SERVFAIL"}, "answers SERVFAIL", []),
        ({"aa": False, "answer": ['a.test. TXT "x"']}, "answers without authority", []),
        ({"answer": ['a.test. TXT "x"']}, "", ["x"]),
        ({"rcode": "NXDOMAIN"}, "", []),
    ],
)
def test_what_one_server_shows(made, problem, values):
    resolver = Answers(delegated, lambda name: {} if name != "a.test." else made)
    shown = standing._ask(resolver, Server("192.0.2.1"), "a.test.")
    assert (shown.server, shown.problem, list(shown.texts)) == ("192.0.2.1", problem, values)


# --- the wire -------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """Starts a server that sends these datagrams, and over TCP these bytes."""
    sockets, threads = [], []

    def start(datagrams, stream):
        port = free_dns_port()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", port))
        sockets.append(udp)

        def over_udp():
            query, sender = udp.recvfrom(4096)
            for datagram in datagrams:
                udp.sendto(datagram(query), sender)

        def over_tcp():
            with tcp.accept()[0] as connection:
                query = connection.recv(4096)[2:]
                connection.sendall(stream(query))

        works = [over_udp]
        if stream is not None:
            tcp = socket.create_server(("127.0.0.1", port))
            sockets.append(tcp)
            works.append(over_tcp)
        for work in works:
            threads.append(threading.Thread(target=work, daemon=True))
            threads[-1].start()
        return Server("127.0.0.1", port)

    yield start
    for thread in threads:
        thread.join(10)
    for sock in sockets:
        sock.close()


def truncated(query):
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def good(query):
    return answer(dns.message.from_wire(query), answer=['a.test. TXT "x"']).to_wire()


def of_another_name(query):
    return query[:2] + answer(question("b.test.", "TXT")).to_wire()[2:]


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (lambda _query: b"", "the connection was closed without an answer"),
        (lambda _query: b"\0\5rubbi", "its answer makes no sense: "),
        (lambda query: b"\0\x0c" + query[:2] + b"\x80" + b"\0" * 9, "its answer makes no sense: "),
    ],
    ids=["closed", "rubbish", "another question"],
)
def test_a_server_that_makes_no_sense_over_tcp(server, stream, why):
    asked = server([truncated], stream)
    [reply] = Resolver([asked]).exchange(asked, [question("a.test.", "TXT")], 5.0)
    assert isinstance(reply, NoAnswer)
    assert str(reply).startswith(why)


def test_rubbish_and_answers_to_other_questions_are_passed_over(server):
    asked = server([lambda _query: b"rubbish", of_another_name, good], None)
    [reply] = Resolver([asked]).exchange(asked, [question("a.test.", "TXT")], 5.0)
    assert [str(rdata) for rdata in reply.answer[0]] == ['"x"']


# --- publications ---------------------------------------------------------------------------------------


def failed(*errors):
    futures = []
    for error in errors:
        futures.append(Future())
        futures[-1].set_exception(error)
    return futures


def test_the_reasons_of_several_providers_are_all_said_once():
    reasons = [ProviderError(f"reason {number}", hint="Look.") for number in (1, 1, 2)]
    with pytest.raises(ProviderError) as caught:
        publication._results(failed(*reasons))
    assert (caught.value.message, caught.value.hint) == ("reason 1; reason 2", "Look.")
    many = [ProviderError(f"reason {number}") for number in range(publication._REASONS_SAID + 2)]
    with pytest.raises(ProviderError, match=r"; and 2 more$"):
        publication._results(failed(*many))


def test_a_fault_is_not_hidden_behind_a_providers_reason():
    with pytest.raises(ZeroDivisionError):
        publication._results(failed(ZeroDivisionError(), ProviderError("x")))


def test_an_alias_that_cannot_be_looked_at_is_told_and_used(paths):
    task = FakeTask()
    made = Publication(paths, Finder(Answers(lambda _name, _kind: None)), SystemClock())
    route = Route("a.test.", SimpleNamespace(name="mine"), 30.0)
    made._check_alias(route, Place("elsewhere.test.", Zone("test.", ())), task)
    assert task.warnings == []
    [line] = task.lines
    assert line.startswith("a.test.: its alias could not be checked: DNS: SOA of a.test. cannot")


def test_an_error_is_remembered_for_all_who_want_the_same():
    once, calls = parallel.Once(), []

    def fail():
        calls.append(1)
        raise Unavailable("no resolver")

    for _ in range(2):
        with pytest.raises(Unavailable, match="no resolver"):
            once.get("zone", fail)
    assert len(calls) == 1


@pytest.mark.parametrize("end", [Cancelled, KeyboardInterrupt])
@pytest.mark.parametrize("left", [False, True])
def test_a_test_record_is_removed_after_ctrl_c_too(paths, monkeypatch, end, left):
    entry = journal.Entry("mine", "test.", "_acme-challenge.a.test.", "x")

    class Waiting:
        def __init__(self, *_arguments):
            self.calls = []

        def locate(self, wanted, task):
            place = Place("_acme-challenge.a.test.", Zone("test.", ()))
            return [publication.Placed(*wanted[0], place, "test.")]

        def add(self, task):
            """It is there now."""

        def wait(self, task, saw):
            raise end

        def remove(self, task):
            reason = SimpleNamespace(entry=entry, reason="the provider is away")
            return [reason] if left else []

    monkeypatch.setattr(probe, "Publication", Waiting)
    steps = []
    route = Route("a.test.", SimpleNamespace(name="mine"), 30.0)
    with pytest.raises(end):
        probe.probe(paths, route, Answers(delegated), FakeTask(), steps.append)
    assert steps[-1].line == (f"left: {entry}: the provider is away" if left else "removed")


# --- cleaning up before other work ----------------------------------------------------------------------

NAMES = b"""certificate: web
\tacmedomain0 www.a.test,plugin=good

certificate: broken
\tacmedomain0 b.test,plugin=bad
\tacmedomain1 b.test,plugin=worse
"""


@pytest.fixture
def node(paths):
    files.replace(paths.cluster_pvefw_cfg, NAMES)
    return Node.open(paths)


def test_the_names_of_another_certificate_keep_no_renewal_from_cleaning_up(
    node, paths, monkeypatch
):
    with pytest.raises(ConfigError):
        certificates.load(node, "broken").names()
    assert certificates.used_instances(node) == {"good"}
    with pytest.raises(NotFound, match=r"there is no certificate www\.a\.test") as caught:
        certificates.load(node, "www.a.test")
    assert caught.value.hint == "That is a name in the certificate web; give that."
    with pytest.raises(NotFound, match="there is no certificate x"):
        certificates.load(node, "x")

    paths.dns_journals.mkdir(parents=True)
    (paths.dns_journals / "1.json").write_text("{")
    concerned = []
    monkeypatch.setattr(
        cleanup, "cleanup", lambda *_arguments, **given: concerned.append(given["concerned"])
    )
    cleanup.cleanup_first(node, FakeTask())
    assert [concerned[0](id_) for id_ in ("good", "bad")] == [True, False]


def test_a_clean_up_that_fails_is_a_warning_before_other_work(node, paths, monkeypatch):
    paths.dns_journals.mkdir(parents=True)
    (paths.dns_journals / "1.json").write_text("{")

    def fails(*_arguments, **_given):
        raise StoreError("the disk is full")

    monkeypatch.setattr(cleanup, "cleanup", fails)
    task = FakeTask()
    cleanup.cleanup_first(node, task)
    assert set(task.warnings) == {
        "DNS records of interrupted orders could not be removed: the disk is full"
    }


def test_a_caa_record_that_is_no_text_is_read_all_the_same():
    query = dns.message.make_query("a.example.", "CAA")
    reply = answer(query, answer=['a.example. CAA 0 issue "\\255ca.example"'])
    where, [found] = standing.caa(SimpleNamespace(ask=lambda *_: reply), "a.example.")
    assert (where, found.tag) == ("a.example.", "issue")
    assert found.value.endswith("ca.example")

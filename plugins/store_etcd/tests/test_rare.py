"""Members that stay away, answers that are lost, watches that end: with members in the test's hands."""

import base64
import json
from types import SimpleNamespace

import pytest
import requests
from etcd3gw.exceptions import Etcd3Exception

from pvefw.api import CredentialsRejected, ProviderError, StoreLock, Unavailable
from pvefw_store_etcd import Etcd

LOST = requests.ConnectionError("cut off")


class Member:
    """Answers what is next; an error is raised."""

    def __init__(self, *answers, lines=()):
        self.answers, self.lines, self.asked = list(answers), lines, []
        self.session = SimpleNamespace(post=self.stream)

    def get_url(self, path):
        return path

    def post(self, path, json):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(json) if callable(answer) else answer

    def stream(self, _path, **_options):
        if isinstance(self.lines, Exception):
            raise self.lines

        class Response:
            iter_lines = staticmethod(lambda chunk_size: iter(self.lines))
            __enter__ = __exit__ = lambda self_, *_: self_ if not _ else None

        return Response()


def etcd(*members):
    made = Etcd(["http://127.0.0.1:1"])
    made._members = list(members)
    return made


def line(**result):
    return json.dumps({"result": result}).encode()


def changed(key):
    return line(events=[{"kv": {"key": base64.b64encode(f"/pvefw/files/{key}".encode()).decode()}}])


def watched(*members):
    return list(etcd(*members).store_watch("", "7", 30.0))


def test_a_watch_goes_to_the_next_member():
    assert watched(Member(lines=LOST), Member(lines=[changed("a"), b"", changed("b")])) == [
        "a",
        "b",
    ]
    with pytest.raises(Unavailable, match="the watch was interrupted"):
        watched(Member(lines=LOST), Member(lines=LOST))


def test_a_watch_that_begins_too_long_ago_says_that_all_may_have_changed():
    """etcd has forgotten what was then."""
    assert watched(Member(lines=[changed("a"), line(compact_revision=9), changed("b")])) == [
        "a",
        "",
    ]


def test_a_watch_that_etcd_ends_is_interrupted():
    said = json.dumps({"error": {"message": "no leader"}}).encode()
    with pytest.raises(Unavailable, match="etcd ended the watch: no leader"):
        watched(Member(lines=[said]))


def test_a_lock_whose_answer_was_lost_is_ours_all_the_same():
    """The next member is asked, and says that our lease is there."""
    none = {"header": {}, "responses": [{"response_range": {}}]}
    ours = {
        "header": {},
        "responses": [{"response_range": {"kvs": [{"lease": "77", "value": ""}]}}],
    }
    first = Member(none, {"header": {}, "ID": "77"}, LOST)
    assert etcd(first, Member(ours)).store_lock("order", "pve1", 30.0) == StoreLock(
        "order", "pve1", "77"
    )


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ('{"error": "etcdserver: permission denied"}', CredentialsRejected, "permission denied"),
        (
            '{"error": "etcdserver: mvcc: database space exceeded (NOSPACE)"}',
            ProviderError,
            "NOSPACE",
        ),
        ("<html>a proxy</html>", Unavailable, "none of its members answers: <html>a proxy</html>"),
        ("[]", Unavailable, r"none of its members answers: \[\]"),
    ],
)
def test_what_a_member_says_decides(monkeypatch, said, kind, words):
    monkeypatch.setattr("pvefw_store_etcd._PAUSES", (0.0,))
    with pytest.raises(kind, match=words):
        etcd(Member(Etcd3Exception(said))).store_read("a")


CALLS = {
    "read": lambda store: store.store_read("a"),
    "swap": lambda store: store.store_swap("a", b"x", "", []),
    "list": lambda store: store.store_list(""),
    "lock": lambda store: store.store_lock("order", "pve1", 30.0),
    "renew": lambda store: store.store_renew(StoreLock("order", "pve1", "7")),
    "watch": lambda store: list(store.store_watch("", "7", 30.0)),
}


@pytest.mark.parametrize("answer", [{}, [], None, "x", {"error": "no"}, {"header": None}])
@pytest.mark.parametrize("call", CALLS)
def test_another_service_is_no_empty_store(monkeypatch, call, answer):
    """One behind a wrong port that answers everything with an object says nothing of what there is."""
    monkeypatch.setattr("pvefw_store_etcd._PAUSES", (0.0,))
    with pytest.raises(Unavailable, match="does not answer as etcd does"):
        CALLS[call](etcd(Member(answer, lines=[json.dumps(answer).encode()])))


def test_a_watch_of_something_that_is_no_json():
    with pytest.raises(Unavailable, match="does not answer as etcd does"):
        watched(Member(lines=[b"<html>a proxy</html>"]))

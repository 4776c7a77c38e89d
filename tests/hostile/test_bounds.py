"""What others send or ask for has a limit: bodies, waits, depths."""

import threading
from types import SimpleNamespace

import pytest

from pvefw.acme.answers import Response, problem_in, problem_of
from pvefw.acme.transport import Transport
from pvefw.core import guard
from pvefw.core.errors import (
    AcmeProtocolError,
    AnswersDisplaced,
    DeadlineExceeded,
    RateLimited,
    UsageError,
)
from pvefw.host.clock import SystemClock
from pvefw.testing.fakes import FakeTask

ENDLESS = [float("inf"), float("nan"), 1e308]


class Endless:
    """An answer whose body does not end; it counts how much of it is asked for."""

    def __init__(self, status, asked):
        self.status_code = status
        self.headers = {"Location": "https://ca.test/again"}
        self.is_redirect = status == 302
        self.url = "https://ca.test/x"
        self._asked = asked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def iter_content(self, size):
        while True:
            self._asked.append(size)
            yield b"x" * size

    @property
    def content(self):
        raise AssertionError("requests reads the whole body here")

    text = content


@pytest.fixture
def asked(monkeypatch):
    return []


@pytest.fixture
def transport(monkeypatch, asked):
    made = Transport(task=FakeTask())

    def exchange(status):
        def request(*_arguments, allow_redirects, stream, **_options):
            assert stream
            assert not allow_redirects
            return Endless(status, asked)

        monkeypatch.setattr(made, "_session", SimpleNamespace(request=request))
        return made

    yield exchange


def test_of_a_redirect_no_body_is_read(transport, asked):
    with pytest.raises(AcmeProtocolError, match="redirects too often"):
        transport(302)._exchange("GET", "https://ca.test/x", None)
    assert asked == []


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 302), ("POST", 500)])
def test_of_a_body_a_megabyte_is_read(transport, asked, method, status):
    with pytest.raises(AcmeProtocolError, match="larger than"):
        transport(status)._exchange(method, "https://ca.test/x", b"")
    assert sum(asked) <= 2 << 20


@pytest.mark.parametrize("said", ["inf", "nan", "1e999", "9" * 400, "-1", "0x10"])
def test_inf_seconds_cannot_be_said(said):
    answer = Response(503, {"Retry-After": said}, b"", "https://ca.test/x")
    problem = problem_in(answer)
    assert "inf" not in problem.message
    assert "nan" not in problem.message
    assert problem.retry_after is None or 0 <= problem.retry_after <= 366 * 86400


def test_words_and_their_number_are_bounded():
    many = [{"detail": "x" * 10**5, "identifier": {"value": "y" * 10**5}}] * 1000
    problem = problem_of({"detail": "z" * 10**6, "subproblems": many}, "x")
    assert len(problem.message) <= 8192
    assert len(problem.subproblems) <= 100
    assert all(len(subproblem) <= 1000 for subproblem in problem.subproblems)


@pytest.mark.parametrize("seconds", ENDLESS)
def test_a_plugins_wait_ends(seconds):
    for kept in (
        AnswersDisplaced("x", seconds=seconds).seconds,
        RateLimited("x", retry_after=seconds).retry_after or 0.0,
    ):
        assert 0 <= kept <= 366 * 86400
    transport = Transport(task=FakeTask())
    with pytest.raises(DeadlineExceeded) as caught:
        transport.pause(AnswersDisplaced("x", seconds=1e308).seconds, "x")
    assert "inf" not in caught.value.message


@pytest.mark.parametrize("seconds", [*ENDLESS, -1.0, -float("inf")])
def test_no_length_of_a_wait_is_a_fault(seconds):
    """``Event.wait`` itself raises OverflowError."""
    event = threading.Event()
    event.set()
    assert SystemClock().wait(event, seconds) is True


@pytest.mark.parametrize("said", ["inf", "nan", "abc", "-1", "0"])
def test_a_limit_that_is_none_is_named(monkeypatch, said):
    monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", said)
    with pytest.raises(UsageError, match="PVEFW_PLUGIN_TIMEOUT"):
        guard.time_limit(5.0)

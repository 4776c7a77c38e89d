"""What libraries raise is said in words for people, at one place."""

import ast
import json
import re
import socket
import ssl
from pathlib import Path

import pytest
import requests
from environments import ROOT

from pvefw.cli.run import run
from pvefw.core import causes
from pvefw.core.guard import in_words

_INSIDE = re.compile(r"Errno|object at|HTTPS?Connection|Max retries|_ssl|line 1 column|\(host=|0x")
FOREIGN = re.compile(
    r"OSError|IOError|requests\.|ssl\.|socket\.|JSONDecodeError|UnicodeDecodeError"
)


def raised(work):
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever a library raises
        return error
    raise AssertionError("nothing was raised")


def closed_port():
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        return client.getsockname()[1]


def tls_error(verify_message, text=""):
    error = ssl.SSLCertVerificationError(1, text or f"[SSL: X] {verify_message} (_ssl.c:1006)")
    error.verify_message = verify_message
    return requests.exceptions.SSLError(error)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: requests.get(f"https://127.0.0.1:{closed_port()}/"), "connection refused"),
        (lambda: socket.create_connection(("127.0.0.1", closed_port())), "connection refused"),
        (lambda: requests.get("https://["), "this is not a URL"),
        (lambda: requests.get("host/path"), "this is not a URL"),
        (lambda: json.loads("<html>"), "it is not JSON"),
        (b"\xff".decode, "it is not text in UTF-8"),
        (lambda: Path("/no/such/file").read_bytes(), "/no/such/file: No such file or directory"),
    ],
)
def test_what_really_happens(work, words):
    error = raised(work)
    assert causes.known(error) == in_words(error) == words
    assert words.endswith(causes.of(error))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be resolved"),
        (requests.exceptions.ReadTimeout("HTTPSConnectionPool(host='x')"), "no answer in time"),
        (tls_error("certificate has expired"), "its certificate has expired"),
        (tls_error("unable to get local issuer certificate"), "authority that is not trusted"),
        (tls_error("Hostname mismatch, certificate is not valid for 'x'."), "for another name"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] (_ssl.c:1)"), "does not use TLS"),
        (requests.ConnectionError("<x.Y object at 0x7f>: it broke"), "no connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "it closed the connection"),
        (ValueError("[Errno 5] <a.B object at 0x1f>: odd"), "odd"),
    ],
)
def test_words_for_people(error, words):
    assert words in causes.of(error)
    assert not _INSIDE.search(causes.of(error))


def test_a_fault_of_ours_keeps_its_name():
    """Somebody has to find it."""
    assert in_words(ZeroDivisionError("division by zero")) == "ZeroDivisionError: division by zero"
    hidden = raised(lambda: (_ for _ in ()).throw(KeyError("x")))
    hidden.__context__ = ConnectionRefusedError(111, "refused")
    assert in_words(hidden).startswith("KeyError")


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "it is not JSON"), ("{}", "is missing"), ("[]", "it is not in the expected format")],
)
def test_a_file_of_ours_that_is_damaged(tmp_path, capsys, content, words):
    folder = tmp_path / "etc/pve/priv/acme"
    folder.mkdir(parents=True)
    (folder / "default").write_text(content)
    assert run(["--root", str(tmp_path), "acme", "account", "info"]) == 1
    shown = capsys.readouterr().err
    assert words in shown
    assert not _INSIDE.search(shown)


def test_an_authority_that_does_not_answer(tmp_path, capsys):
    url = f"https://127.0.0.1:{closed_port()}/directory"
    host = ["--root", str(tmp_path), "acme", "account", "register", "x", "a@example.com"]
    assert run([*host, "--directory", url]) == 1
    assert f"{url}: no answer: connection refused" in capsys.readouterr().err


def repeated(module):
    """Lines where a handler of foreign errors puts the error's own words into a text."""
    for handler in ast.walk(ast.parse(module.read_text())):
        if not isinstance(handler, ast.ExceptHandler) or not (handler.name and handler.type):
            continue
        if not FOREIGN.search(ast.unparse(handler.type)):
            continue
        for node in ast.walk(handler):
            value = node.value if isinstance(node, ast.FormattedValue) else None
            if isinstance(value, ast.Name) and value.id == handler.name:
                yield node.lineno


def test_nobody_repeats_them():
    modules = [
        path
        for pattern in ("pvefw/**/*.py", "plugins/*/src/**/*.py")
        for path in ROOT.glob(pattern)
        if "testing" not in path.parts  # their readers are programmers
    ]
    found = [
        f"{module.relative_to(ROOT)}:{line}" for module in modules for line in repeated(module)
    ]
    assert found == []

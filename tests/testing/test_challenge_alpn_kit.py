"""The challenge kit on tls-alpn-01: a third party's plugin passes, and each seeded bug is caught."""

import contextlib
import inspect
import socket

import pytest
from seeding import run_test, seeded

from pvefw.testing.challenge import ChallengeConformance, asked_over_tls
from pvefw.testing.fakes import FakeTask


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TestAlpn(ChallengeConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return seeded("alpn").Alpn(port=free_port())

    @pytest.fixture
    def fetch(self, plugin):
        return asked_over_tls(plugin.port)


def run(old, new):
    """All tests of the kit on a plugin with a bug; what their failures say."""
    kit, said = ChallengeConformance(), []
    module = seeded("alpn", old, new)
    for name, _ in inspect.getmembers(kit, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        for address in ("192.0.2.1", "2001:db8::1") if "addresses" in name else ("",):
            plugin, task = module.Alpn(port=free_port()), FakeTask()
            making = ChallengeConformance.hooks._fixture_function(kit, plugin, task)
            fixtures = {
                "plugin": plugin,
                "fresh_plugin": lambda module=module: module.Alpn(port=free_port()),
                "hooks": next(making),
                "fetch": asked_over_tls(plugin.port),
                "task": task,
                "tmp_path": None,  # these plugins have no folders
                "broken_plugin": None,
                "address": address,
            }
            said.append(run_test(kit, name, fixtures))
            with contextlib.suppress(OSError, AttributeError):  # nothing listens any more
                plugin._close()
    return [sentence_ for sentence_ in said if sentence_]


FORGET = """            answers.pop(challenge.token, None)
            if not answers:
                self._answers.pop(server_name(challenge), None)
"""
CHOOSE = """        if not answers:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
"""
BY_NAME = "answer only the tokens and names"
EXACT = "must be exactly the challenge's key_authorization"

SEEDED = [
    (
        "and not self._answers:\n            self._close()",
        "and False:\n            pass",
        "still listen",
    ),
    (
        CHOOSE,
        "        answers = answers or next(iter(self._answers.values()), None)\n" + CHOOSE,
        BY_NAME,
    ),
    (
        "        return ipaddress.ip_address(identifier.value).reverse_pointer\n",
        "        return identifier.value\n",
        "in-addr.arpa",
    ),
    (
        FORGET,
        "            self._answers.pop(server_name(challenge), None)\n",
        "took the other one down",
    ),
    (FORGET, "            self._answers.clear()\n", "remove exactly those of the list"),
    (FORGET, "            del answers[challenge.token]\n", "no error, core cleans up"),
    ('f"Answering for {challenge.identifier}"', 'f"Answering {challenge}"', "log the identifier"),
    ("challenge.key_authorization.encode()", "challenge.token.encode()", EXACT),
    ('b"\\x04\\x20" + digest', "digest", EXACT),
    (".add_extension(proof, critical=True)", ".add_extension(proof, critical=False)", EXACT),
    (".add_extension(proof, critical=True)", "", EXACT),
    (
        "x509.SubjectAlternativeName([name])",
        'x509.SubjectAlternativeName([x509.DNSName("a.test")])',
        EXACT,
    ),
    ("    made.set_alpn_protocols([PROTOCOL])\n", "", EXACT),
    ('PROTOCOL = "acme-tls/1"', 'PROTOCOL = "acme-tls"', "is not answered"),
    (
        "        for challenge in challenges:\n            task.log",
        "        for challenge in challenges[:1]:\n            task.log",
        "make every challenge",
    ),
    (
        "        if self._listening is None:\n",
        "        if True:\n",
        "core repeats what was interrupted",
    ),
    ("        self._listening = self._thread = None\n", "", "leave it usable"),
    ('["tls-alpn-01"]', '["tls-alpn-01", "http-01"][:0]', "name at least one type"),
    ('setting(help="Where to listen.", default=443)', "443", "has no help"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), SEEDED, ids=range(len(SEEDED)))
def test_each_seeded_bug_is_caught_with_a_sentence(old, new, sentence):
    said = run(old, new)
    assert any(sentence in sentence_ for sentence_ in said), said

"""Every parser of foreign bytes, with bytes: it says what is wrong in an error of ours, or it takes them.

``make fuzz SECONDS=600`` goes on for as long as one says. What it finds is kept in ``corpus``, and is
tried again by every run of the tests.
"""

import contextlib
import hashlib
import os
import time
from pathlib import Path

import dns.exception
import dns.message
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pvefw.acme import client, renewal_info
from pvefw.acme.answers import Response, problem_in, problem_of
from pvefw.boot import records
from pvefw.certs import bindings, chain, install, renewal
from pvefw.core import doctor
from pvefw.core import settings as plugin_settings
from pvefw.core.errors import PvefwError
from pvefw.dns import journal
from pvefw.store import accounts, files, guest_notes, node_config, nodes, persistent_records
from pvefw.store.paths import Paths
from pvefw.store.section_config import SectionConfig
from pvefw.tasks import registry
from pvefw.tasks.upid import Upid
from pvefw_acme_dns_generic import script_info
from pvefw_bootloader_grub import cmdline, grubenv, menu, script
from pvefw_bootloader_systemd import entries

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("PVEFW_FUZZ_SECONDS", "0"))


def words(data):
    return data.decode(errors="replace")


def acme(data):
    headers = {
        "Content-Type": "application/json",
        "Retry-After": words(data[:40]),
        "Link": words(data[:200]),
    }
    answer = Response(400, headers, data, "https://ca.test/x")
    problem_in(answer)
    answer.alternates()
    answer.json()


def sections(data):
    parsed = SectionConfig.parse(data, "x")
    assert SectionConfig.parse(parsed.render(), "x").render() == parsed.render()


def with_file(parse):
    def target(data, folder):
        (folder / "file").write_bytes(data)
        return parse(folder / "file")

    return target


def acme_objects(data):
    """Every object of an authority, as JSON or in the place of each of its values."""
    answer = Response(200, {"Content-Type": "application/json"}, data, "https://ca.test/x")
    said = answer.json()
    for parse in (
        lambda: client._order(answer, answer.url),
        lambda: client._authorization(said, answer.url),
        lambda: renewal_info.parse(said, answer.url, None),
        lambda: problem_of(said, answer.url),
    ):
        with contextlib.suppress(PvefwError):
            parse()


def grub_menu(data):
    found = menu.parse(words(data))
    list(found.kernels())
    found.find(found.default)


def state(parse):
    """A target for what is kept in a file of a node's."""

    def target(data, folder):
        paths = Paths(folder, "pve1")
        return parse(paths, data)

    return target


def kept_in(where, load):
    def parse(paths, data):
        path = where(paths)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        load(paths)

    return state(parse)


TARGETS = {
    "acme-objects": acme_objects,
    "account": kept_in(lambda paths: paths.acme_dir / "x", lambda paths: accounts.load(paths, "x")),
    "journal": kept_in(lambda paths: paths.dns_journals / "x.json", journal.load_all),
    "persistent-records": kept_in(lambda paths: paths.persistent_records, persistent_records.load),
    "renewal-state": kept_in(lambda paths: paths.renewal_state, renewal.records),
    "installation": kept_in(lambda paths: paths.install_intent, install.recover),
    "esp-record": kept_in(
        lambda paths: paths.boot_state / "esp-AAAA.json", lambda paths: records.load(paths, "AAAA")
    ),
    "guest-list": kept_in(lambda paths: paths.vmlist, guest_notes.read),
    "members": kept_in(lambda paths: paths.members, lambda paths: nodes._member(paths, "pve1")),
    "task-last-line": with_file(registry._last_status),
    "grub-menu": grub_menu,
    "doctor-report": lambda data: doctor._Report.read(words(data)),
    "section-config": sections,
    "node-config": lambda data: node_config.NodeConfig.parse(data, "x").values,
    "property-string": lambda data: node_config.parse_property_string(words(data), "a"),
    "upid": lambda data: Upid.parse(words(data)),
    "task-lists": with_file(lambda path: list(registry._entries(path, registry._ACTIVE))),
    "task-index": with_file(lambda path: list(registry._entries(path, registry.INDEX_LINE))),
    "acme": acme,
    "dns": dns.message.from_wire,
    "certificates": lambda data: chain.parse(data, "x"),
    "certificates-pem": lambda data: chain.parse(
        b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n", "x"
    ),
    "bindings": lambda data: bindings.read(words(data), None, "x"),
    "info-block": lambda data: script_info.parse("x", words(data)),
    "info-block-inside": lambda data: script_info.parse("x", f"dns_x_info='{words(data)}'\n"),
    "grub-env": with_file(grubenv.read),
    "grub-defaults": lambda data: cmdline.kernel_words(words(data)),
    "loader-entry": with_file(entries.read_fields),
    "data-file": lambda data: plugin_settings.parse(words(data)),
    "state-file": with_file(files.read_object),
}
EXPECTED = {
    "doctor-report": doctor._NO_REPORT,
    "grub-menu": (script.Unbalanced,),  # as it is documented
    "dns": (PvefwError, dns.exception.DNSException),
    "property-string": (ValueError,),  # as it is documented
}
PIECES = st.sampled_from(
    [
        *(b"\n", b"\t", b": ", b"=", b",", b'"', b"'", b"\\", b"{", b"[", b"UPID:", b"\0", b"\xff"),
        *(b"\x1b", b"0x", b"-1", b"9" * 30, b"acme: x\n\t", b"domains=", b"%0A", b"\r\n", b"#"),
        b"-----BEGIN ",
    ]
)
DATA = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda one: one.encode(errors="surrogatepass")),
    st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join),
)


def try_it(name, data, folder):
    """Feed a parser; what it cannot take is kept.

    :raises Exception: it raised something that is no error of ours.
    """
    target = TARGETS[name]
    try:
        target(data, folder) if target.__name__ == "target" else target(data)
    except EXPECTED.get(name, (PvefwError,)):
        pass
    except Exception:
        if SECONDS:
            place = CORPUS / name
            place.mkdir(parents=True, exist_ok=True)
            (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        raise


@pytest.mark.timeout(0 if SECONDS else 300)
@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_everything_or_says_what_is_wrong(name, tmp_path):
    @settings(
        max_examples=1000 if SECONDS else 100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(DATA)
    def fuzzed(data):
        try_it(name, data, tmp_path)

    until = time.monotonic() + SECONDS / len(TARGETS)
    fuzzed()
    while time.monotonic() < until:
        seed(os.urandom(8))(fuzzed)()


def test_each_parser_has_a_corpus():
    """What was found, or what is known to hurt; there is none for a parser that is gone."""
    kept = {one.parent.name for one in CORPUS.glob("*/*")}
    assert kept == {*TARGETS}


@pytest.mark.parametrize(
    "found", sorted(CORPUS.glob("*/*")), ids=lambda one: f"{one.parent.name}-{one.name}"
)
def test_what_was_found_once_is_found_no_more(found, tmp_path):
    try_it(found.parent.name, found.read_bytes(), tmp_path)

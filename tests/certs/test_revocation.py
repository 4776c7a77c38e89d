"""Which certificates and keys count as revoked, and what is done without them."""

import datetime as dt
from unittest.mock import Mock

import pytest
from certificates import NOW, Log, own, self_signed
from cryptography import x509

from pvefw.certs import accounts, chain, custom, issue, keys, revocation, sharing
from pvefw.certs import revoke as revoke_
from pvefw.certs.progress import Progress, Wanted
from pvefw.certs.renewal_rule import Record
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import AcmeUnreachable, Locked, StoreError
from pvefw.store import files, node_settings, revocations
from pvefw.store.paths import Paths


def parsed(pem):
    return x509.load_pem_x509_certificate(pem)


def revoke(paths, pem, *, with_key=True):
    revocation_ = revocation.of(paths, parsed(pem), NOW, with_key=with_key)
    revocations.add(paths, revocation_, NOW)
    return revocation_


@pytest.fixture
def nodes(paths):
    """Three nodes that want the same certificate."""
    found = [Paths(paths.root, name) for name in ("pve1", "pve2", "pve3")]
    for holder in found:
        node_settings.change(holder, {"acmedomain0": "gui.example"})
    return found


def have(paths, pem, key):
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)


def info(paths, pem):
    return chain.describe(paths.proxy_certificate, pem)


def test_a_certificate_is_known_by_serial_and_issuer_and_by_a_leaked_key(paths):
    pem, key = self_signed()
    same_key, _ = self_signed("other.example", key=keys.from_pem(key, "key"))
    unrelated, _ = self_signed()
    revoke(paths, pem)
    known = Revoked.load(paths)
    assert known.find(parsed(pem)).node == "pve1"
    assert known.find(parsed(same_key))
    assert known.find(parsed(unrelated)) is None
    assert known.has_key(keys.from_pem(key, "key"))


def test_the_key_of_one_that_was_only_replaced_goes_on(paths):
    pem, key = self_signed()
    same_key, _ = self_signed("other.example", key=keys.from_pem(key, "key"))
    revoke(paths, pem, with_key=False)
    known = Revoked.load(paths)
    assert known.find(parsed(pem))
    assert known.find(parsed(same_key)) is None
    assert not known.has_key(keys.from_pem(key, "key"))


def test_what_was_revoked_is_not_shared_and_no_reason_to_keep(nodes):
    first, second, third = nodes
    newest, older = self_signed("gui.example", begin=-1), self_signed("gui.example", begin=-2)
    have(second, *newest)
    have(third, *older)
    node = own(first)
    others = sharing.partners(node)
    assert sharing.newer(node, others, None, NOW).owner == "node pve2"
    revoke(first, newest[0])
    assert sharing.newer(node, others, None, NOW).owner == "node pve3"
    assert sharing.newer(node, others, info(first, newest[0]), NOW).owner == "node pve3"
    revoke(first, older[0])
    assert sharing.newer(node, others, info(first, newest[0]), NOW) is None


def test_of_two_that_begin_together_all_nodes_take_one(nodes):
    pairs = [self_signed("gui.example") for _ in nodes]
    for host, pair in zip(nodes, pairs, strict=True):
        have(host, *pair)
    best = max(pairs, key=lambda pair: info(nodes[0], pair[0]).fingerprint)
    for host, pair in zip(nodes, pairs, strict=True):
        node = own(host)
        found = sharing.newer(node, sharing.partners(node), info(host, pair[0]), NOW)
        assert (found is None) is (pair is best)
        assert found is None or found.certificate == best[0]


def test_who_has_it_is_found_whatever_he_wants(nodes):
    first, second, third = nodes
    pem, key = self_signed()
    have(second, pem, key)
    have(third, *self_signed("other.example", key=keys.from_pem(key, "key")))
    node_settings.change(second, {"acmedomain0": "changed.example"})
    revoked = revoke(first, pem)
    assert holders(first, revoked) == ["node pve2", "node pve3"]
    files.replace(second.proxy_certificate, b"damaged")
    assert holders(first, revoked) == ["node pve3"]
    web = first.certificate_files("web")
    files.replace(first.node_pvefw_cfg(), b"certificate: web\n\tacmedomain0 web.example\n")
    files.replace(web.certificate, pem)
    assert holders(first, revoked) == ["certificate web", "node pve3"]


def holders(paths, revoked):
    return [other.owner for other in revocation.holders(own(paths), revoked)]


class Placed:
    url = "https://ca.example/order/1"


class Flow:
    def resume(self, _url, _identifiers):
        return Placed()


def test_no_order_begins_or_goes_on_with_a_revoked_key(nodes):
    first = nodes[0]
    node_settings.change(first, {"key-reuse": "1"})
    pem, key = self_signed()
    have(first, pem, key)
    wanted = Wanted(own(first), own(first).settings.names(), "default")
    begun = Progress(wanted, "account")
    begun.begin(Placed())
    assert keys.to_pem(begun.key) == key
    assert Progress(wanted, "account").resumed(Flow())
    revoke(first, pem)
    assert Progress(wanted, "account").resumed(Flow()) is None
    begun = Progress(wanted, "account")
    begun.begin(Placed())
    assert keys.to_pem(begun.key) != key


def test_a_certificate_that_was_set_meanwhile_is_not_replaced(nodes):
    first = nodes[0]
    ordered, by_hand = self_signed(), self_signed()
    have(first, *by_hand)
    with pytest.raises(Locked, match="another certificate was installed"):
        issue._install(own(first), *ordered, Record(account="account"), None, Log())
    assert own(first).pem() == by_hand[0]


def test_who_sets_a_revoked_certificate_is_warned(paths):
    pem, key = self_signed()
    revoke(paths, pem)
    node_settings.change(paths, {"reload-command": "-"})
    log = Log()
    custom.set_pair(own(paths), pem, key, log, NOW + dt.timedelta(seconds=1))
    assert any("node pve1 revoked it on" in warning for warning in log.warnings)


@pytest.mark.parametrize(
    ("lack", "said"),
    [
        (None, "there is no ACME account named gone"),
        (AcmeUnreachable("https://ca.example: no answer"), "https://ca.example: no answer"),
        (StoreError("the disk is full"), "the disk is full"),
    ],
)
def test_what_keeps_the_replaced_one_from_being_revoked_is_a_warning(
    paths, monkeypatch, lack, said
):
    """It has been replaced, which is what matters; this one expires."""
    if lack:
        monkeypatch.setattr(accounts, "load", Mock(side_effect=lack))
    task, before = Log(), info(paths, self_signed()[0])
    revoke_.revoke_replaced(own(paths), before, "gone", task)
    [warning] = task.warnings
    assert warning.startswith("The certificate that was replaced is not revoked: ")
    assert said in warning


def test_what_is_revoked_is_not_revoked_again(paths):
    pem, _ = self_signed()
    revoke(paths, pem, with_key=False)
    task = Log()
    revoke_.revoke_replaced(own(paths), info(paths, pem), "gone", task)
    assert (task.lines, task.warnings) == ([], [])


def test_an_interrupted_order_for_what_was_revoked_is_of_no_use(paths):
    pem, _ = self_signed()
    wanted = Wanted(own(paths), [], "default")
    assert issue._useless(wanted, pem, None) == ""
    revoke(paths, pem)
    assert issue._useless(wanted, pem, None) == "its certificate was revoked"

"""How an authority looks at answers: what is wrong is a sentence, empty where nothing is."""

import ipaddress
import socket
import ssl
from hashlib import sha256
from http.client import HTTPConnection, HTTPException

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from cryptography import x509

from pvefw import seam
from pvefw.api import Challenge
from pvefw.seam import persist

_SECONDS = 5.0
"""How long a validation waits for an answer."""
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_PROTOCOL = "acme-tls/1"


def over_http(challenge: Challenge, port: int) -> str:
    """http-01 (RFC 8555 section 8.3)."""
    host = challenge.identifier.value
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        path = f"/.well-known/acme-challenge/{challenge.token}"
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read(1000).decode(errors="replace").rstrip()
    except (OSError, HTTPException) as error:
        return f"http://{host} at port {port} cannot be asked: {error}"
    finally:
        connection.close()
    if answer.status != 200:  # noqa: PLR2004 - OK
        return f"http://{host}{path} answers {answer.status}"
    return "" if body == challenge.key_authorization else f"http://{host}{path} says {body!r}"


def over_tls(challenge: Challenge, port: int) -> str:
    """tls-alpn-01 (RFC 8737 section 3; addresses: RFC 8738 section 6)."""
    name = server_name(challenge)
    try:
        protocol, certificate = handshake(name, port)
    except OSError as error:
        return f"{name} at port {port}: no handshake: {error}"
    return wrong_handshake(challenge, protocol, certificate)


def server_name(challenge: Challenge) -> str:
    """What the authority asks for: for an address its name in the reverse mapping."""
    identifier = challenge.identifier
    return (
        ipaddress.ip_address(identifier.value).reverse_pointer
        if identifier.type == "ip"
        else identifier.value
    )


def handshake(name: str, port: int) -> tuple[str | None, bytes]:
    """The protocol and the certificate, DER, that a TLS server shows to who asks for a validation.

    :raises OSError: it refuses.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([_PROTOCOL])
    with (
        socket.create_connection(("127.0.0.1", port), _SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=name) as tls,
    ):
        return tls.selected_alpn_protocol(), tls.getpeercert(binary_form=True) or b""


def wrong_handshake(challenge: Challenge, protocol: str | None, certificate: bytes) -> str:
    """What is wrong with an answer."""
    if protocol != _PROTOCOL or not certificate:
        return f"{server_name(challenge)}: the protocol is {protocol} instead of {_PROTOCOL}"
    return _wrong_certificate(challenge, x509.load_der_x509_certificate(certificate))


def _wrong_certificate(challenge: Challenge, certificate: x509.Certificate) -> str:
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        proof = certificate.extensions.get_extension_for_oid(_ACME_IDENTIFIER)
    except x509.ExtensionNotFound as error:
        return f"{challenge.identifier}: the certificate lacks {error.oid.dotted_string}"
    names = [str(name.value) for name in san]
    if names != [challenge.identifier.value]:
        return f"{challenge.identifier}: the certificate is for {names}"
    expected = b"\x04\x20" + sha256(challenge.key_authorization.encode()).digest()
    if getattr(proof.value, "value", b"") != expected:
        return f"{challenge.identifier}: the certificate answers another challenge"
    if not proof.critical:
        return f"{challenge.identifier}: the extension acmeIdentifier must be critical"
    return ""


def in_dns(challenge: Challenge, resolver: str) -> str:
    """dns-01 (RFC 8555 section 8.4) and dns-account-01.

    :param resolver: ``IP:PORT``, or empty.
    """
    name = f"{challenge.dns_label}.{challenge.identifier.value}."
    texts = _texts(name, resolver)
    if isinstance(texts, str):
        return texts
    if challenge.dns_value in texts:
        return ""
    return f"{name} has {sorted(texts) or 'no TXT record'} instead of {challenge.dns_value}"


def standing(domain: str, terms: persist.Terms, resolver: str, *, wildcard: bool) -> str:
    """dns-persist-01: the record of the name, or one of a name above that is good for all below."""
    problems = []
    above = domain
    while "." in above:
        texts = _texts(f"{persist.LABEL}.{above}.", resolver)
        if isinstance(texts, str):
            return texts
        for text in sorted(texts):
            problem = _wrong_record(text, above, terms, wildcard=wildcard or above != domain)
            if not problem:
                return ""
            problems.append(f"{above}: {problem}")
        above = above.partition(".")[2]
    return "; ".join(problems) or f"{persist.LABEL}.{domain} has no TXT record"


def _wrong_record(text: str, domain: str, terms: persist.Terms, *, wildcard: bool) -> str:
    try:
        record = persist.parse(text)
    except persist.Malformed as error:
        return str(error)
    return terms.fault(record, domain, seam.now(), wildcard=wildcard)


def _texts(name: str, resolver: str) -> set[str] | str:
    """The TXT values at a name; a sentence where they cannot be had."""
    address, _, port = resolver.rpartition(":")
    if not address:
        return "this server was started without a resolver"
    query = dns.message.make_query(name, "TXT")
    try:
        reply, _ = dns.query.udp_with_fallback(query, address, _SECONDS, int(port))
    except (OSError, dns.exception.DNSException) as error:
        return f"{name} cannot be looked up at {resolver}: {error}"
    return {
        b"".join(rdata.strings).decode()
        for rrset in reply.answer
        if rrset.rdtype == dns.rdatatype.TXT
        for rdata in rrset
    }

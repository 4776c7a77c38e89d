"""Account keys and signatures, checked against the RFCs' own examples and an independent verification."""

import base64
import hashlib
import hmac
import json
import subprocess
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from pvefw.acme import jws
from pvefw.acme.jws import AccountKey
from pvefw.core.errors import ConfigError, UsageError

KEYS = {key_type: AccountKey.generate(key_type) for key_type in ("ec256", "ec384", "rsa2048")}


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def public_key(jwk: dict[str, str]):
    """A public key from its JWK (RFC 7518 section 6)."""
    numbers = {key: int.from_bytes(decoded(jwk[key])) for key in jwk if key not in ("kty", "crv")}
    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(numbers["e"], numbers["n"]).public_key()
    curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[jwk["crv"]]
    return ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], curve).public_key()


def verify(signed: bytes, jwk: dict[str, str]) -> tuple[dict, bytes]:
    """Header and payload of a flattened JWS whose signature is right (RFC 7515 section 5.2)."""
    said = json.loads(signed)
    header = json.loads(decoded(said["protected"]))
    signature, key = decoded(said["signature"]), public_key(jwk)
    data = f"{said['protected']}.{said['payload']}".encode()
    match header["alg"]:
        case "RS256":
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        case "ES256" | "ES384" as algorithm:
            half = {"ES256": 32, "ES384": 48}[algorithm]
            assert len(signature) == 2 * half
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            digest = hashes.SHA256() if algorithm == "ES256" else hashes.SHA384()
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))
    return header, decoded(said["payload"])


def test_the_thumbprint_of_rfc_7638():
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP"
        "ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY"
        "368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f"
        "M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    public = public_key({"kty": "RSA", "e": "AQAB", "n": modulus})
    key = AccountKey(SimpleNamespace(public_key=lambda: public))
    assert key.jwk == {"e": "AQAB", "kty": "RSA", "n": modulus}
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("key_type", "algorithm"), [("ec256", "ES256"), ("ec384", "ES384"), ("rsa2048", "RS256")]
)
@given(payload=st.binary(max_size=100), url=st.text(max_size=20), nonce=st.text(max_size=20))
def test_what_is_signed_verifies(key_type, algorithm, payload, url, nonce):
    key = KEYS[key_type]
    header, signed = verify(key.sign({"url": url, "nonce": nonce}, payload), key.jwk)
    assert header == {"alg": algorithm, "url": url, "nonce": nonce}
    assert signed == payload


@given(st.integers(1, 2**255))
def test_coordinates_have_their_full_width(private):
    """RFC 7518 section 6.2.1.2: leading zeros stay, or thumbprints differ from the server's."""
    for curve, width in ((ec.SECP256R1(), 32), (ec.SECP384R1(), 48)):
        jwk = AccountKey(ec.derive_private_key(private, curve)).jwk
        assert [len(decoded(jwk[coordinate])) for coordinate in ("x", "y")] == [width, width]


def test_a_coordinate_with_leading_zeros():
    numbers = (ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, 5000))
    short = next(number for number in numbers if number.public_key().public_numbers().x < 2**248)
    key = AccountKey(short)
    assert key.jwk["x"].startswith("A")
    verify(key.sign({}, b"hello"), key.jwk)


def test_members_stand_in_the_order_that_the_thumbprint_needs():
    for key in KEYS.values():
        assert list(key.jwk) == sorted(key.jwk)


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048", "rsa4096"])
def test_a_key_survives_being_written(key_type):
    key = AccountKey.generate(key_type)
    again = AccountKey.from_pem(key.pem, "test")
    assert again.jwk == key.jwk
    assert again.pem == key.pem
    assert key.pem.startswith(("-----BEGIN EC PRIVATE KEY", "-----BEGIN RSA PRIVATE KEY"))


@pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
@pytest.mark.parametrize("key_type", KEYS)
def test_every_form_of_pem_is_read(key_type, form):
    key = KEYS[key_type]
    pem = key._key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    )
    assert AccountKey.from_pem(pem.decode(), "test").thumbprint == key.thumbprint


def openssl(*arguments: str) -> str:
    return subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, text=True
    ).stdout


NO_KEYS = {
    "empty": lambda: "",
    "text": lambda: "hello",
    "surrogate": lambda: "\ud800",
    "rubbish": lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "ed25519": lambda: openssl("genpkey", "-algorithm", "ed25519"),
    "P-521": lambda: openssl("ecparam", "-name", "secp521r1", "-genkey", "-noout"),
    "a curve of old": lambda: openssl("ecparam", "-name", "secp112r1", "-genkey", "-noout"),
    "encrypted": lambda: encrypted(ec.generate_private_key(ec.SECP256R1())),
    "encrypted ed25519": lambda: encrypted(ed25519.Ed25519PrivateKey.generate()),
}


@pytest.mark.parametrize("make", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_account_key_is_refused(make):
    pem = make()
    with pytest.raises(ConfigError, match="account default: the account's key") as caught:
        AccountKey.from_pem(pem, "account default")
    body = pem.splitlines()[1:-1]
    assert not any(line in str(caught.value) for line in body)


def encrypted(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()


def test_an_unknown_type_of_key():
    with pytest.raises(UsageError, match="dsa1024"):
        AccountKey.generate("dsa1024")


# --- external account binding (RFC 8555 section 7.3.4) ---------------------------------------------


@given(st.binary(min_size=1, max_size=64), st.text(min_size=1, max_size=20), st.booleans())
def test_a_binding_is_signed_with_the_authoritys_key(secret, kid, padded):
    key, url = KEYS["ec256"], "https://ca.example/new-account"
    text = (base64.b64encode if padded else base64.urlsafe_b64encode)(secret).decode()
    said = jws.external_binding(key, kid, text if padded else text.rstrip("="), url)
    data = f"{said['protected']}.{said['payload']}".encode()
    assert decoded(said["signature"]) == hmac.new(secret, data, hashlib.sha256).digest()
    assert json.loads(decoded(said["protected"])) == {"alg": "HS256", "kid": kid, "url": url}
    assert json.loads(decoded(said["payload"])) == key.jwk


@pytest.mark.parametrize("wrong", ["", "===", "not base64!", "a", "café", "YWJj\nYWJj"])
def test_a_binding_key_that_is_not_base64(wrong):
    with pytest.raises(UsageError, match="external account binding is") as caught:
        jws.external_binding(KEYS["ec256"], "kid", wrong, "https://ca.example/")
    assert len(wrong) < 3 or wrong not in str(caught.value)

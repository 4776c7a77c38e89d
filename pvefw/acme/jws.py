"""Account keys, and the JSON Web Signatures they make (RFC 7515, RFC 8555 section 6.2)."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pvefw.core.errors import ConfigError, UsageError

_RSA = re.compile(r"rsa(2048|3072|4096|8192)")
_NUMBERS = ("n", "e", "d")
_NO_KEY = (
    "Restore the account's file from a backup, or register another account: "
    "pvefw acme account register NAME MAIL"
)
_CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384")}


def b64(data: bytes) -> str:
    """Base64url without padding, the encoding of everything in ACME."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    """JSON without white space."""
    return json.dumps(value, separators=(",", ":")).encode()


class AccountKey:
    """The private key of an account: RSA as Proxmox VE makes them, or ECDSA P-256 or P-384."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def from_pem(cls, pem: str, what: str) -> "AccountKey":
        """Read a key.

        :param what: names it in errors.
        :raises ConfigError: it is not a key that ACME authorities take.
        """
        try:
            key = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{what}: the account's key cannot be read", hint=_NO_KEY) from error
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
            return cls(key)
        if isinstance(key, rsa.RSAPrivateKey):
            return cls(key)
        raise ConfigError(
            f"{what}: the account's key is neither RSA nor ECDSA P-256 or P-384", hint=_NO_KEY
        )

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], what: str) -> "AccountKey":
        """Read a private key in the form of RFC 7518 section 6, which certbot keeps.

        :param what: names it in errors.
        :raises ConfigError: it is not a key that ACME authorities take.
        """
        try:
            number = {
                key: int.from_bytes(_bytes(text)) for key, text in jwk.items() if key in _NUMBERS
            }
            if jwk["kty"] == "EC":
                curve = next(
                    known_curve
                    for known_curve in (ec.SECP256R1(), ec.SECP384R1())
                    if _is(known_curve, jwk["crv"])
                )
                return cls(ec.derive_private_key(number["d"], curve))
            public = rsa.RSAPublicNumbers(number["e"], number["n"])
            p, q = rsa.rsa_recover_prime_factors(public.n, public.e, number["d"])
            exponents = (rsa.rsa_crt_dmp1(number["d"], p), rsa.rsa_crt_dmq1(number["d"], q))
            rest = (*exponents, rsa.rsa_crt_iqmp(p, q))
            return cls(rsa.RSAPrivateNumbers(p, q, number["d"], *rest, public).private_key())
        except (KeyError, ValueError, TypeError, StopIteration) as error:
            raise ConfigError(f"{what}: the account's key cannot be read") from error

    @classmethod
    def generate(cls, key_type: str = "ec256") -> "AccountKey":
        """A new key: ``ec256``, ``ec384``, ``rsa2048`` or ``rsa4096``, or RSA of another size.

        :raises UsageError: another word.
        """
        match key_type:
            case "ec256":
                return cls(ec.generate_private_key(ec.SECP256R1()))
            case "ec384":
                return cls(ec.generate_private_key(ec.SECP384R1()))
        if match := _RSA.fullmatch(key_type):
            return cls(rsa.generate_private_key(65537, int(match[1])))
        raise UsageError(f"{key_type} is not a type of account key")

    @property
    def key_type(self) -> str:
        """Its type, as :meth:`generate` takes it."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return f"rsa{self._key.key_size}"
        return f"ec{self._key.key_size}"

    @property
    def pem(self) -> str:
        """The key as unencrypted PEM: PKCS#1 or SEC 1, which Proxmox VE's Perl reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key (RFC 7517), members in the order of RFC 7638."""
        public = self._key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
        point = public.public_numbers()
        width = (public.key_size + 7) // 8
        curve = _CURVES[public.curve.name][0]
        return {
            "crv": curve,
            "kty": "EC",
            "x": b64(point.x.to_bytes(width)),
            "y": b64(point.y.to_bytes(width)),
        }

    @cached_property
    def thumbprint(self) -> str:
        """What ties a challenge's answer to this account (RFC 7638, RFC 8555 section 8.1)."""
        return b64(hashlib.sha256(compact(self.jwk)).digest())

    @cached_property
    def algorithm(self) -> str:
        """The JWS algorithm: ``ES256``, ``ES384`` or ``RS256``."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return "RS256"
        return _CURVES[self._key.curve.name][1]

    def sign(self, protected: dict[str, Any], payload: bytes) -> bytes:
        """A flattened JWS over ``payload`` (empty for POST-as-GET).

        :param protected: the header, without ``alg``.
        """
        header = b64(compact({"alg": self.algorithm, **protected}))
        body = b64(payload)
        signature = self._signature(f"{header}.{body}".encode())
        return compact({"protected": header, "payload": body, "signature": b64(signature)})

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        digest = hashes.SHA256() if self.algorithm == "ES256" else hashes.SHA384()
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(digest)))
        width = (self._key.key_size + 7) // 8
        return r.to_bytes(width) + s.to_bytes(width)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is(curve: ec.EllipticCurve, name: object) -> bool:
    return _CURVES[curve.name][0] == name


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def external_binding(key: AccountKey, kid: str, hmac_key: str, url: str) -> dict[str, Any]:
    """The ``externalAccountBinding`` of a new account (RFC 8555 section 7.3.4).

    :param kid: the key id that the authority gave.
    :param hmac_key: its MAC key, base64url.
    :param url: the newAccount URL.
    :raises UsageError: the MAC key is not base64url.
    """
    plain = hmac_key.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        secret = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise UsageError("the key of the external account binding is not base64url") from error
    if not secret:
        raise UsageError("the key of the external account binding is empty")
    header = b64(compact({"alg": "HS256", "kid": kid, "url": url}))
    body = b64(compact(key.jwk))
    mac = hmac.new(secret, f"{header}.{body}".encode(), hashlib.sha256).digest()
    return {"protected": header, "payload": body, "signature": b64(mac)}

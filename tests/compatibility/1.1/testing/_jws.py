"""Signatures of JSON, as a server checks them (RFC 7515, RFC 7518)."""

import base64
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_HASHES: dict[str, hashes.HashAlgorithm] = {"P-256": hashes.SHA256(), "P-384": hashes.SHA384()}
_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}


def unb64(text: str) -> bytes:
    """Bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verify(jwk: dict[str, str], signed: bytes, signature: bytes) -> None:
    """Hold a signature against a public key.

    :raises InvalidSignature: it is not that key's.
    """
    if jwk["kty"] == "RSA":
        numbers = [int.from_bytes(unb64(jwk[part])) for part in ("e", "n")]
        rsa.RSAPublicNumbers(*numbers).public_key().verify(
            signature, signed, padding.PKCS1v15(), hashes.SHA256()
        )
        return
    curve = _CURVES[jwk["crv"]]
    x, y = (int.from_bytes(unb64(jwk[part])) for part in ("x", "y"))
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    key = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_HASHES[jwk["crv"]]))


def thumbprint(jwk: dict[str, str]) -> str:
    """What names a key (RFC 7638)."""
    members = ("e", "kty", "n") if jwk["kty"] == "RSA" else ("crv", "kty", "x", "y")
    text = json.dumps(
        {member: jwk[member] for member in members}, separators=(",", ":"), sort_keys=True
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text.encode())
    return _b64(digest.finalize())

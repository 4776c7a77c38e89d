"""A second factor at the login: six digits that an app makes of a secret and the time (RFC 6238).

A code is taken once, on whichever node: what was taken last stands beside the secret, in the cluster's
file of users, which only root can read.
"""

import hmac
from dataclasses import dataclass, field, replace

KIND = "totp"
"""What stands, with a colon, before a code in the place of a password."""
_PERIOD = 30
"""Seconds that a code is for."""
_LATE, _EARLY = 1, 1
"""Periods that a clock may be wrong (RFC 6238, section 5.2)."""


@dataclass(frozen=True)
class Totp:
    """What is known of somebody's app."""

    secret: str = field(repr=False)
    """Base32."""
    taken: int = 0
    """The period of the last code that was taken, counted from the epoch."""


def new() -> Totp:
    """A secret for an app that has none yet."""
    import pyotp

    return Totp(pyotp.random_base32())


def uri(totp: Totp, name: str, issuer: str) -> str:
    """What an app reads as a QR code: the secret, for whom it is, and where."""
    import pyotp

    text: str = pyotp.TOTP(totp.secret).provisioning_uri(name=name, issuer_name=issuer)
    return text


def take(totp: Totp, code: str, now: float) -> Totp | None:
    """Take a code.

    :param now: seconds since the epoch.
    :returns: what is to be kept, so that it is not taken again; ``None`` where the code is wrong, or was
        taken already.
    """
    import pyotp

    app, period = pyotp.TOTP(totp.secret), int(now) // _PERIOD
    for number in range(max(period - _LATE, totp.taken + 1), period + _EARLY + 1):
        if hmac.compare_digest(app.generate_otp(number).encode(), code.encode()):
            return replace(totp, taken=number)
    return None

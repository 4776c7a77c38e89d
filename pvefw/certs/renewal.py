"""When a certificate is due for renewal."""

from datetime import datetime, timedelta

from pvefw.certs.chain import CertificateInfo

_SHORT_LIVED = timedelta(days=10)


def due_at(info: CertificateInfo, renew_before: timedelta | None = None) -> datetime:
    """The moment from which a certificate should be renewed, without asking the authority.

    Two thirds into its lifetime; half-way where that is under ten days; earlier where
    ``renew_before`` (time before its end) says so.
    """
    lifetime = info.not_after - info.not_before
    share = lifetime / 2 if lifetime < _SHORT_LIVED else lifetime * 2 / 3
    rule = info.not_before + share
    return rule if renew_before is None else min(rule, info.not_after - renew_before)

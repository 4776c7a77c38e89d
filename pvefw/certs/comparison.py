"""What is wanted of a certificate, compared with what is installed."""

from collections.abc import Sequence

from cryptography import x509

from pvefw.certs import keys
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.renewal_rule import Record
from pvefw.core.errors import ConfigError, NotFound
from pvefw.store import accounts as account_store


def differences(wanted: Certificate, info: CertificateInfo, record: Record) -> list[str]:
    """Why another certificate has to be ordered although this one is good, a clause each.

    Only what was ordered here is compared: of one that somebody else put there, nobody knows whether it
    was meant to be as it is.

    :raises ConfigError: the names to order it for are not clear.
    """
    if not record.account:
        return []
    return [*of_file(wanted, info), *_of_record(wanted, record)]


def of_file(wanted: Certificate, info: CertificateInfo) -> list[str]:
    """What the certificate itself shows: its names, and the type of its key.

    :raises ConfigError: the names to order it for are not clear.
    """
    names = {name.identifier.value.lower() for name in wanted.settings.names()}
    there = {name.lower() for name in info.san}
    changes = [f"{_listed(names - there)} to be added"] if names - there else []
    changes += [f"{_listed(there - names)} to be removed"] if there - names else []
    return changes + _of_key(wanted, info)


def _listed(names: set[str]) -> str:
    return f"{', '.join(sorted(names))} {'is' if len(names) == 1 else 'are'}"


def _of_key(wanted: Certificate, info: CertificateInfo) -> list[str]:
    """A key that is kept has the type that it has, unless another one is asked for."""
    settings = wanted.settings
    usual = "" if settings.is_on("key-reuse") else keys.DEFAULT_TYPE
    type_ = settings.get("key-type", usual)
    there = keys.type_of(x509.load_pem_x509_certificate(info.pem.encode()).public_key())
    return [f"its key should be {type_}, not {there}"] if type_ not in ("", there) else []


def _of_record(wanted: Certificate, record: Record) -> list[str]:
    profile = wanted.settings.get("profile", "")
    changes = (
        [f"the account is now {wanted.settings.account}"] if other_account(wanted, record) else []
    )
    if record.profile is not None and record.profile != profile:
        changes.append(f"the profile is now {profile}" if profile else "no profile is set any more")
    return changes


def other_account(wanted: Certificate, record: Record) -> bool:
    """Whether it was ordered with another account than the one that is configured now.

    The one to fall back to is as good: else it would be ordered over and over while the first is down.
    """
    settings = wanted.settings
    known = _urls(wanted, [settings.account])
    if not record.account or not known:
        return False
    accepted = [*known, *_urls(wanted, [settings.fallback_account])]
    # records of 1.0 have names instead of URLs
    return record.account not in (*accepted, settings.account, settings.fallback_account)


def _urls(wanted: Certificate, names: Sequence[str]) -> list[str]:
    """The URLs of accounts; those that are not there or cannot be read are left out."""
    urls = []
    for name in filter(None, names):
        try:
            urls.append(account_store.load(wanted.paths, name).location)
        except (ConfigError, NotFound):
            continue
    return urls

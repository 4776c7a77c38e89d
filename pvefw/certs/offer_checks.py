"""What is configured for orders, compared with what the authority offers."""

from collections.abc import Mapping, Sequence

from pvefw.acme.client import Client
from pvefw.acme.transport import Transport
from pvefw.certs import accounts, directories
from pvefw.core.errors import AcmeError, ConfigError, NotFound, UsageError
from pvefw.store import accounts as account_store
from pvefw.store.accounts import Account
from pvefw.store.certificates import CertificateSettings
from pvefw.store.paths import Paths

_SECONDS = 10.0


def check(settings: CertificateSettings, paths: Paths, given: Mapping[str, str]) -> list[str]:
    """Refuse properties that the authority would refuse at the next order.

    :param settings: what is wanted of the certificate with it.
    :param given: what is about to be set.
    :returns: what could not be checked, a sentence each.
    :raises UsageError: the account's authority ended must-staple, or does not offer the profile.
    """
    if given.get("must-staple") != "1" and not given.get("profile"):
        return []
    try:
        account = account_store.load(paths, settings.account)
    except (ConfigError, NotFound):
        return []  # whatever is ordered later has its own check
    if given.get("must-staple") == "1":
        objection = stapling_doubt(account.directory)
        if objection:
            raise UsageError(f"{settings.what}: {objection}", hint="Leave must-staple at 0.")
    profile = given.get("profile", "")
    if not profile:
        return []
    try:
        offered = profiles(account)
    except AcmeError as error:
        return [f"the profile {profile} could not be checked: {error.message}"]
    objection = profile_doubt(profile, offered, account.directory)
    if objection:
        raise UsageError(f"{settings.what}: {objection}", hint=_choices(offered))
    return []


def doubt(settings: CertificateSettings, paths: Paths, offered: Sequence[str] | None) -> str:
    """Why the next order would be refused, as far as that is known; empty where nothing is.

    :param offered: the profiles that the authority offered when it was asked last; ``None`` for unknown.
    """
    try:
        account = account_store.load(paths, settings.account)
    except (ConfigError, NotFound):
        return ""
    doubts = []
    if settings.is_on("must-staple"):
        doubts.append(stapling_doubt(account.directory))
    if offered is not None:
        doubts.append(profile_doubt(settings.get("profile"), offered, account.directory))
    reasons = "; ".join(reason for reason in doubts if reason)
    return f"its renewal would fail: {reasons}" if reasons else ""


def profiles(account: Account) -> list[str]:
    """The profiles that an account's authority offers.

    :raises AcmeError: its directory cannot be had.
    """
    transport = Transport(ca_file=account.ca_file, deadline=_SECONDS, task=accounts.Unhurried())
    try:
        return sorted(Client(transport, account.directory).directory.profiles or {})
    finally:
        transport.close()


def stapling_doubt(directory: str) -> str:
    """Why must-staple would be refused; empty where nothing is known of that."""
    ended = directories.stapling_ended(directory)
    return f"{directory} has refused must-staple since {ended}" if ended else ""


def profile_doubt(profile: str, offered: Sequence[str], directory: str) -> str:
    """Why a profile would be refused; empty where it would not."""
    if not profile or profile in offered:
        return ""
    return f"{directory} does not offer the profile {profile}"


def _choices(offered: Sequence[str]) -> str:
    if not offered:
        return "It has no profiles at all; leave the property out."
    return f"It offers {', '.join(offered)}."

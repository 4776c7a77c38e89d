"""What is used of dns-lexicon: its provider classes, each with a configuration of its own.

Not its client: that one looks for the zone by itself, in a list of suffixes that it downloads. Core has
found the zone already. Nothing is read from the environment or from lexicon's configuration files.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    RateLimited,
    SettingInfo,
    Unavailable,
    Unsupported,
)

_PUBLIC = re.compile(
    r"(user(name)?|login|e?mail|url|uri|endpoint|entrypoint|host|hostname|server|server_id|zone|zone_id|"
    r"domain|region|ttl|port|project_id|subscription_id|tenant_id|account_id|filename|resource_group|"
    r"client_id|notify|realm|version|type|view)$",
    re.IGNORECASE,
)
"""Options that end so are shown; everything else may be a credential and is masked."""
_TOO_MANY, _BROKEN = 429, 500
_UNAUTHORIZED = (401, 403)


def names() -> list[str]:
    """Every provider that can be used with what is installed, by name."""
    from lexicon._private.discovery import find_providers

    return sorted(name for name, available in find_providers().items() if available)


def load(name: str) -> Any:
    """A provider's class.

    :raises ProviderError: there is none of this name, or it lacks a library.
    """
    from lexicon._private.discovery import find_providers, load_provider_module

    available = find_providers().get(name)
    if available is None:
        raise ProviderError(f"dns-lexicon has no provider {name}")
    if not available:
        raise Unsupported(
            f"dns-lexicon's provider {name} needs a library that is not installed",
            hint=f"Install it: pip install 'dns-lexicon[{name}]'",
        )
    return load_provider_module(name).Provider


def settings(name: str) -> Sequence[SettingInfo]:
    """A provider's options as settings, under lexicon's own names: ``auth_token``.

    :raises ProviderError: there is no such provider.
    """
    parser = argparse.ArgumentParser(add_help=False)
    load(name).configure_parser(parser)
    return [
        SettingInfo(
            key=action.dest,
            help=(action.help or action.dest).strip(),
            secret=not _PUBLIC.search(action.dest),
            default="" if action.default is None else str(action.default),
            choices=tuple(map(str, action.choices or ())),
        )
        for action in parser._actions  # noqa: SLF001 - argparse has no other way to ask
        if action.option_strings
    ]


class Session:
    """A provider that has let us in, for one zone."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def values(self, name: str) -> set[str]:
        """The TXT values at a name."""
        plain = name.rstrip(".")
        found = self._provider.list_records("TXT", plain)
        return {str(one["content"]).strip('"') for one in found if one["name"].rstrip(".") == plain}

    def create(self, name: str, value: str) -> None:
        """Add one value."""
        if not self._provider.create_record("TXT", name.rstrip("."), value):
            raise ProviderError(f"the provider did not add {name}, and does not say why")

    def delete(self, name: str, value: str) -> None:
        """Remove one value."""
        if not self._provider.delete_record(None, "TXT", name.rstrip("."), value):
            raise ProviderError(f"the provider did not remove {name}, and does not say why")


@contextmanager
def session(name: str, values: Mapping[str, str], zone: str, ttl: int) -> Iterator[Session]:
    """Log in at a provider; whatever goes wrong in the block is explained.

    :raises ProviderError: in the provider's words, or the library's.
    """
    from lexicon.config import ConfigResolver

    # some providers look an option up as it is on the command line, with dashes
    options = {**values, **{key.replace("_", "-"): value for key, value in values.items()}}
    known = {
        "provider_name": name,
        "domain": zone.rstrip("."),
        "ttl": ttl,
        name: options,
    }
    provider = None
    try:
        config: Any = ConfigResolver
        provider = load(name)(config().with_dict(known))
        provider.authenticate()
        yield Session(provider)
    except ProviderError:
        raise
    except Exception as error:
        raise _explained(name, error) from error
    finally:
        if provider is not None:
            provider.cleanup()


def _explained(name: str, error: Exception) -> ProviderError:
    """What an exception out of lexicon means."""
    import requests
    from lexicon.exceptions import AuthenticationError

    words = f"lexicon/{name}: {' '.join(str(error).split()) or type(error).__name__}"
    if isinstance(error, AuthenticationError):
        return CredentialsRejected(words, hint="Check the credentials and their rights.")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _by_status(words, error.response)
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return Unavailable(f"lexicon/{name}: no answer: {type(error).__name__}")
    return ProviderError(words)


def _by_status(words: str, answer: Any) -> ProviderError:
    if answer.status_code in _UNAUTHORIZED:
        return CredentialsRejected(words, hint="Check the credentials and their rights.")
    if answer.status_code == _TOO_MANY:
        after = answer.headers.get("Retry-After", "")
        return RateLimited(words, retry_after=float(after) if after.isdecimal() else None)
    if answer.status_code >= _BROKEN:
        return Unavailable(words)
    return ProviderError(words)

"""What is used of dns-lexicon: its provider classes, each with a configuration of its own.

Not its client: that one looks for the zone by itself, in a list of suffixes that it downloads. Core has
found the zone already. Nothing is read from the environment or from lexicon's configuration files.
"""

import argparse
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pvefw.api import ProviderError, SettingInfo, Unavailable, Unsupported, read_answer
from pvefw_acme_dns_lexicon.errors import explained

_PUBLIC = re.compile(
    r"(user(name)?|login|e?mail|url|uri|endpoint|entrypoint|host|hostname|server|server_id|zone|zone_id|"
    r"domain|region|ttl|port|project_id|subscription_id|tenant_id|account_id|filename|resource_group|"
    r"client_id|notify|realm|version|type|view)$",
    re.IGNORECASE,
)
"""Options that end so are shown; everything else may be a credential and is masked."""
_PATH = re.compile(r"file(name)?$", re.IGNORECASE)
"""Options that end so name a file of this host."""
_PUBLISH_CHANGES_ONLY = {"ovh", "wedos"}
"""Their modules publish the zone after a change, in a step of its own, and not where nothing changes.

So one record comes or goes again where a call finds everything as it should be.
"""
_SECONDS = 30.0
"""What a connection waits for an answer."""
_LARGEST = 32 << 20
"""Bytes of an answer: the limit holds for all that asks through requests."""
_LIMITED = "pvefw_limited"
"""The mark of what :func:`_limit_requests` has put in the place of what requests does."""
_NO_APEX = {"desec", "hetzner"}
"""Their modules cannot find or cannot remove what they wrote at the zone's own name."""


@functools.cache
def _providers() -> Mapping[str, bool]:
    """Every provider by name, and whether what it needs is installed; a look takes its time."""
    from lexicon._private.discovery import find_providers

    providers: dict[str, bool] = find_providers()
    return providers


def names() -> list[str]:
    """Every provider that can be used with what is installed, by name."""
    return sorted(name for name, available in _providers().items() if available)


def load(name: str) -> Any:
    """A provider's class.

    :raises ProviderError: there is none of this name, or it lacks a library.
    """
    from lexicon._private.discovery import load_provider_module

    available = _providers().get(name)
    if available is None:
        raise ProviderError(f"dns-lexicon has no provider {name}")
    if not available:
        raise Unsupported(
            f"dns-lexicon's provider {name} needs a library that is not installed",
            hint=f"Install it beside pvefw: pipx inject pvefw 'dns-lexicon[{name}]'",
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
            type="path" if _PATH.search(action.dest) else "string",
            choices=tuple(map(str, action.choices or ())),
        )
        for action in parser._actions  # noqa: SLF001 - argparse has no other way to ask
        if action.option_strings
    ]


class Session:
    """A provider that has let us in, for one zone."""

    def __init__(self, name: str, provider: Any, zone: str) -> None:
        self._name = name
        self._provider = provider
        self._zone = zone.rstrip(".")
        self.publishes_changes_only = name in _PUBLISH_CHANGES_ONLY

    def values(self, name: str) -> set[str]:
        """The TXT values at a name."""
        return set(self._listed(name).values())

    def create(self, name: str, value: str) -> None:
        """Add one value beside what is there.

        :raises Unsupported: the name is the zone's own, and the provider's module cannot remove from it.
        :raises ProviderError: it was not added, or others were replaced by it.
        """
        if self._name in _NO_APEX and name.rstrip(".") == self._zone:
            raise Unsupported(
                f"lexicon/{self._name} cannot write at the zone's own name {self._zone}",
                hint="Let the alias lead to a name below the zone.",
            )
        before = self.values(name)
        if not self._provider.create_record("TXT", name.rstrip("."), value):
            raise ProviderError(f"the provider did not add {name}, and does not say why")
        lost = before - self.values(name) if before else set()
        if lost:
            raise ProviderError(
                f"lexicon/{self._name} replaced {len(lost)} other values at {name}",
                hint="This provider's module cannot hold two values at one name.",
            )

    def delete(self, name: str, value: str) -> None:
        """Remove one value, and no other.

        Modules compare the text as their API has it, with quotes or without, and report a removal where
        nothing was the same. So it is looked at, and the other form is tried.

        :raises Unavailable: the provider still lists it.
        :raises ProviderError: it refused, or others were removed as well.
        """
        before, refusal = self.values(name), None
        for content in self._forms(name, value):
            try:
                self._provider.delete_record(None, "TXT", name.rstrip("."), content)
            except Exception as error:
                refusal = explained(self._name, error)
                if type(refusal) is not ProviderError:
                    raise
            after = self.values(name)
            lost = before - after - {value}
            if lost:
                raise ProviderError(
                    f"lexicon/{self._name} removed {len(lost)} other values at {name}",
                    hint="This provider's module cannot hold two values at one name.",
                )
            if value not in after:
                return
        raise refusal or Unavailable(
            f"lexicon/{self._name}: the provider still lists the value at {name} after its removal"
        )

    def _forms(self, name: str, value: str) -> list[str]:
        """A value as the provider lists it, bare, and in quotes; each once."""
        listed = [text for text, plain in self._listed(name).items() if plain == value]
        return list(dict.fromkeys([*listed, value, f'"{value}"']))

    def _listed(self, name: str) -> dict[str, str]:
        """The texts at a name as the provider lists them, each with the value that it stands for."""
        plain = name.rstrip(".")
        records = self._provider.list_records("TXT", plain)
        # the library puts a dot before the zone for its apex
        texts = [
            str(record["content"])
            for record in records
            if record["name"].strip(".").lower() == plain
        ]
        return {text: text.strip('"').replace('" "', "") for text in texts}


def _read(answer: Any) -> None:
    """Read the body of an answer, up to a limit.

    :raises requests.ConnectionError: it is larger.
    """
    from requests import ConnectionError as Lost

    if not read_answer(answer, _LARGEST):
        answer.close()
        raise Lost(f"the answer is larger than {_LARGEST} bytes")


def _limit_requests() -> None:
    """Give every request a time limit that has none, and each answer a largest size.

    The library's modules set neither.

    It is looked at each time: somebody else in this process may have put back what was there before.
    """
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send
    if hasattr(send, _LIMITED):
        return

    @functools.wraps(send)
    def limited(
        self: HTTPAdapter,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        answer = send(self, request, stream, timeout or _SECONDS, *rest, **more)
        if not stream and answer.raw is not None:  # else, whoever asked reads it as he likes
            _read(answer)
        return answer

    setattr(limited, _LIMITED, True)
    HTTPAdapter.send = limited  # type: ignore[method-assign]  # no other way into its modules


@contextmanager
def session(name: str, values: Mapping[str, str], zone: str, ttl: int) -> Iterator[Session]:
    """Log in at a provider; whatever goes wrong in the block is explained.

    :raises ProviderError: in the provider's words, or the library's.
    """
    from lexicon.config import ConfigResolver

    _limit_requests()
    # some providers look an option up as it is on the command line, with dashes
    options = {**values, **{key.replace("_", "-"): value for key, value in values.items()}}
    known = {"provider_name": name, "domain": zone.rstrip("."), "ttl": ttl, name: options}
    provider = None
    try:
        config: Any = ConfigResolver
        provider = load(name)(config().with_dict(known))
        provider.authenticate()
        yield Session(name, provider, zone)
    except ProviderError:
        raise
    except Exception as error:
        raise explained(name, error) from error
    finally:
        if provider is not None:
            provider.cleanup()

"""The conformance kit of the DNS catalogue family.

Inherit from :class:`DnsCatalogConformance` and name a provider that can be made offline::

    class TestManyDns(DnsCatalogConformance):
        @pytest.fixture
        def plugin(self):
            return ManyDns()

        @pytest.fixture
        def sample(self):
            return "acmecorp", {"token": "anything"}

What its providers do is checked against :class:`pvefw.testing.dns.DnsConformance`.

What it cannot see: whether the settings of other providers than the sample do, secrets that an entry does
not mark as such, and files below ``root`` that come and go.
"""

import re
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from pvefw import seam
from pvefw.api import ProviderError
from pvefw.seam import ConfigError, DnsCatalogSpec, PluginBroken
from pvefw.testing._saying import unlike_a_refusal

_ROOT = Path("/")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class DnsCatalogConformance:
    """What every DNS catalogue must do. Each failure says in one sentence what is wrong."""

    @pytest.fixture
    def plugin(self) -> object:
        """The catalogue, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your catalogue, ready to use."
        )

    @pytest.fixture
    def sample(self) -> tuple[str, Mapping[str, str]]:
        """A provider's name and settings that do. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'sample': return the name of one of your providers, and settings "
            "with which it can be made without asking anybody."
        )

    @pytest.fixture
    def hooks(self, plugin: object) -> DnsCatalogSpec:
        """The catalogue's hooks, bound as core binds them."""
        hooks: DnsCatalogSpec = seam.bind("dns_catalog", plugin, type(plugin).__name__).hooks
        return hooks

    def test_names_are_in_order(self, hooks: DnsCatalogSpec) -> None:
        """Sorted, each once, and such that an administrator can type them."""
        names = list(hooks.catalog_names(root=_ROOT))
        assert names, "catalog_names returns nothing: name every provider that can be made"
        assert len(names) == len(set(names)), "catalog_names has a name twice: each is one provider"
        assert names == sorted(names), "catalog_names is not sorted: return sorted(names)"
        odd = [name for name in names if not _NAME.fullmatch(name)]
        assert not odd, (
            f"the names {odd} cannot be typed: use lower-case letters, digits, -, _ and ."
        )

    def test_names_stay_offline(
        self, hooks: DnsCatalogSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are asked for while somebody presses Tab."""

        def refuse(*_: object) -> NoReturn:
            raise AssertionError(
                "catalog_names uses the network: keep the list in the package, it is asked for by "
                "completion"
            )

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert list(hooks.catalog_names(root=_ROOT)) == list(hooks.catalog_names(root=_ROOT)), (
            "catalog_names returns other names when called again: it must be constant"
        )

    def test_every_entry_describes_itself(self, hooks: DnsCatalogSpec) -> None:
        """A title for people, and help for every setting; settings each once."""
        for name in hooks.catalog_names(root=_ROOT):
            try:
                entry = hooks.catalog_entry(root=_ROOT, name=name)
            except ProviderError as error:
                assert error.message.partition(": ")[2], (
                    f"{name} cannot be used, and nobody says why: put the reason into the ProviderError"
                )
                continue
            assert entry.name == name, (
                f"the entry of {name} is that of {entry.name}: return that of the name that was given"
            )
            assert entry.title, f"{name} has no title: give the provider's name for people"
            keys = [setting.key for setting in entry.settings]
            assert len(keys) == len(set(keys)), f"{name} has a setting twice: {keys}"
            bare = [setting.key for setting in entry.settings if not setting.help]
            assert not bare, f"{name} has settings without help: {', '.join(bare)}"

    def test_an_unknown_name_is_refused(self, hooks: DnsCatalogSpec) -> None:
        """By both hooks, with a ProviderError."""
        calls: dict[str, dict[str, object]] = {"catalog_entry": {}, "catalog_make": {"values": {}}}
        for hook, more in calls.items():
            call = partial(getattr(hooks, hook), root=_ROOT, name="no-such-provider", **more)
            raised = unlike_a_refusal(call)
            assert not raised, (
                f"{hook} of an unknown name must raise a ProviderError, it raised {raised}: look the "
                "name up first"
            )

    def test_the_sample_fits_its_entry(
        self, hooks: DnsCatalogSpec, sample: tuple[str, Mapping[str, str]]
    ) -> None:
        """The settings that do are those that the entry declares."""
        name, values = sample
        assert name in hooks.catalog_names(root=_ROOT), (
            f"{name} can be made and is not in catalog_names: name every provider that can be made"
        )
        entry = hooks.catalog_entry(root=_ROOT, name=name)
        if entry.open:
            return  # every key goes through to the provider
        try:
            seam.check_values(entry.settings, values, name)
        except ConfigError as error:
            pytest.fail(
                f"the entry refuses settings that do ({error}): declare what it takes, and as "
                "required only what it cannot do without"
            )

    def test_what_it_makes_is_a_dns_plugin(
        self, hooks: DnsCatalogSpec, sample: tuple[str, Mapping[str, str]]
    ) -> None:
        """An object with the hooks of the DNS family, another one whenever it is asked."""
        name, values = sample
        first, second = (hooks.catalog_make(root=_ROOT, name=name, values=values) for _ in range(2))
        try:
            seam.bind("dns", first, name)
        except PluginBroken as error:
            pytest.fail(
                f"what catalog_make made is no DNS plugin ({error}): return an object whose methods "
                "dns_add and dns_remove are marked with @hookimpl"
            )
        assert first is not second, (
            "catalog_make returns the same object twice: two instances have settings of their own"
        )

    def test_secrets_do_not_show(
        self, hooks: DnsCatalogSpec, sample: tuple[str, Mapping[str, str]]
    ) -> None:
        """``repr`` may appear in any log."""
        name, values = sample
        made = hooks.catalog_make(root=_ROOT, name=name, values=values)
        for secret in seam.secret_values(
            hooks.catalog_entry(root=_ROOT, name=name).settings, values
        ):
            assert secret not in repr(made), (
                f"repr() of what catalog_make made for {name} shows a secret setting: leave it out"
            )

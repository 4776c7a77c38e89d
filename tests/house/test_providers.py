"""The table of providers in the documentation, held against the plugins that it is about."""

import re
from pathlib import Path

import pytest

from pvefw.core import finding, settings
from pvefw.core.errors import ProviderError
from pvefw.core.families import DNS
from pvefw.instances import instance_binding
from pvefw.store.node import Node
from pvefw.store.paths import Paths

PAGE = Path(__file__).parents[2] / "docs/providers.md"
_ROW = re.compile(r"\| (?P<title>[^|]+) \| `(?P<api>[^`|]+)` \| (?P<keys>[^|]+) \|")
_OPTIONAL = re.compile(r"\[(.*?)\]")
_KEY = re.compile(r"`([^`]+)`")


def rows():
    """Provider's name, and each set of keys with those that are optional."""
    for match in _ROW.finditer(PAGE.read_text()):
        if match["api"] != "--api":
            for keys in match["keys"].split(" or "):
                optional = [key for part in _OPTIONAL.findall(keys) for key in _KEY.findall(part)]
                yield match["api"], _KEY.findall(keys), optional


ROWS = list(rows())
NODE = Node.unread(Paths(Path("/"), "pve1"))


def test_the_table_is_read():
    names = {api for api, _, _ in ROWS}
    assert {"ovh", "rfc2136", "cf", "hetznercloud", "duckdns", "lexicon/cloudflare"} <= names
    assert len(names) > 35


@pytest.mark.parametrize(("api", "keys", "optional"), ROWS, ids=lambda value: str(value)[:40])
def test_the_keys_are_those_of_the_plugin(api, keys, optional, tmp_path):
    """All of them are known, and with those that are not optional nothing is missing."""
    ours = "/" in api or api in {info.name for info in finding.installed(DNS)}
    try:
        name = api if ours else f"acmesh/{api}"
        infos, takes_any = instance_binding.accepted(NODE, DNS.name, name)
    except ProviderError as error:
        if ours:
            raise
        pytest.skip(error.message)
    known = {info.key for info in infos}
    assert set(keys) <= known, f"{api} does not know {sorted(set(keys) - known)}"
    values = {key: "1" for key in keys if key not in optional}
    if not takes_any:
        missing = [info for info in infos if info.required and info.key not in values]
        assert missing == []
    assert settings.json_schema(infos)

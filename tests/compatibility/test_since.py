"""Each hook says since when it is there, and what may be called meanwhile; newer names say it, too."""

import inspect
import json
from pathlib import Path

from plugin_api import described

from pvefw import api
from pvefw.core import families
from pvefw.core.settings import setting

FIRST = json.loads((Path(__file__).parent / "1.0/api.json").read_text())
AT_ONCE = (
    "twice at once",
    "several threads at once",
    "while other hooks run",
    "concurrency are those",
)
HOOKS = [(family, name) for family in families.FAMILIES.values() for name in family.hooks]


def flat(text):
    return " ".join((text or "").split())


def says_since(text):
    return "since 1.1" in flat(text).lower()


def said_of_argument(function, name):
    """What a docstring says of one parameter."""
    return inspect.getdoc(function).partition(f":param {name}:")[2].partition("\n:")[0]


def test_a_hook_says_since_when_it_is_there():
    """A new hook, and a new argument of an old one; each other one says 1.0."""
    silent = []
    for family, name in HOOKS:
        hook, before = getattr(family.spec, name), FIRST["families"].get(family.group, {}).get(name)
        if before is None:
            silent += [] if says_since(hook.__doc__) and "Since 1.0" not in hook.__doc__ else [name]
            continue
        silent += [] if "Since 1.0" in flat(hook.__doc__) else [name]
        new = set(inspect.signature(hook).parameters) - set(before["arguments"])
        silent += [
            f"{name}({argument})"
            for argument in new
            if not says_since(said_of_argument(hook, argument))
        ]
    assert silent == []


def test_a_hook_says_what_may_be_called_meanwhile():
    silent = [
        name
        for family, name in HOOKS
        if not any(phrase in flat(getattr(family.spec, name).__doc__) for phrase in AT_ONCE)
    ]
    assert silent == []


def test_a_name_says_since_when_it_is_there():
    new = {name: getattr(api, name) for name in set(described()["names"]) - set(FIRST["names"])}
    explained = {name: value for name, value in new.items() if callable(value)}
    assert set(new) - set(explained) == {
        "NOTICES"
    }  # a constant has no docstring that could be read
    assert [name for name, value in explained.items() if not says_since(value.__doc__)] == []


def test_an_argument_says_since_when_it_is_there():
    new = set(described()["setting"]) - set(FIRST["setting"])
    assert new
    assert [name for name in new if not says_since(said_of_argument(setting, name))] == []

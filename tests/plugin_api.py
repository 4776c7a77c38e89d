"""The plugin API as data: what a plugin can import, implement, be given and construct."""

import dataclasses
import enum
import inspect
from typing import Any

from pvefw import api
from pvefw.core import families
from pvefw.core.settings import setting

Described = dict[str, Any]


def described() -> Described:
    """Everything that a release promises to keep, in a form that JSON can hold."""
    return {
        "names": sorted(api.__all__),
        "families": {family.group: _hooks(family) for family in families.FAMILIES.values()},
        "fields": {name: _fields(class_) for name, class_ in _classes(dataclasses.is_dataclass)},
        "members": {name: [member.value for member in kind] for name, kind in _classes(_is_enum)},
        "errors": {name: _bases(class_) for name, class_ in _classes(_is_error)},
        "setting": sorted(inspect.signature(setting).parameters),
        "run": _arguments(api.run),
    }


def _classes(wanted: Any) -> list[tuple[str, Any]]:
    found = ((name, getattr(api, name)) for name in sorted(api.__all__))
    return [(name, value) for name, value in found if inspect.isclass(value) and wanted(value)]


def _is_enum(class_: type) -> bool:
    return issubclass(class_, enum.Enum)


def _is_error(class_: type) -> bool:
    return issubclass(class_, BaseException)


def _bases(class_: type) -> list[str]:
    return [base.__name__ for base in class_.__mro__[1:] if base.__name__ in api.__all__]


def _hooks(family: Any) -> Described:
    return {
        name: {
            "required": required,
            "arguments": sorted(inspect.signature(getattr(family.spec, name)).parameters),
        }
        for name, required in family.hooks.items()
    }


def _fields(class_: Any) -> list[list[Any]]:
    """Name and whether there is a default, in the order of positional arguments."""
    nothing = dataclasses.MISSING
    return [
        [field.name, field.default is not nothing or field.default_factory is not nothing]
        for field in dataclasses.fields(class_)
        if field.init
    ]


def _arguments(function: Any) -> list[list[Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [[parameter.name, parameter.default is not parameter.empty] for parameter in parameters]


def _still_fit(fields: list[list[Any]], now: list[list[Any]]) -> bool:
    """Whether what was given for these fields still fits; one that had none may have a default now."""
    kept = now[: len(fields)]
    same = [name for name, _ in kept] == [name for name, _ in fields]
    return same and all(
        after or not before for (_, before), (_, after) in zip(fields, kept, strict=True)
    )


def broken_promises(before: Described, now: Described) -> list[str]:
    """What a plugin written against the one would miss in the other, one sentence each."""
    found = [f"pvefw.api has no {name} any more" for name in _gone(before["names"], now["names"])]
    for group, hooks in before["families"].items():
        found += _hook_findings(group, hooks, now["families"].get(group))
    for name, fields in before["fields"].items():
        if not _still_fit(fields, now["fields"].get(name, [])):
            found.append(f"{name} has lost fields, or they stand in another order")
        added = now["fields"].get(name, [])[len(fields) :]
        found += [
            f"{name} has a new field {field} without a default" for field, has in added if not has
        ]
    for name, members in before["members"].items():
        found += [
            f"{name} has no {member}" for member in _gone(members, now["members"].get(name, []))
        ]
    for name, bases in before["errors"].items():
        found += [f"{name} is no {base}" for base in _gone(bases, now["errors"].get(name, []))]
    found += [
        f"setting() does not take {argument}"
        for argument in _gone(before["setting"], now["setting"])
    ]
    known = [name for name, _ in now["run"]]
    found += [f"run() does not take {name}" for name, _ in before["run"] if name not in known]
    return found


def _hook_findings(group: str, before: Described, now: Described | None) -> list[str]:
    if now is None:
        return [f"there is no family {group} any more"]
    found = []
    for hook, was in before.items():
        if hook not in now:
            found.append(f"{group} has no hook {hook} any more")
            continue
        gone = _gone(was["arguments"], now[hook]["arguments"])
        found += [f"{hook} is not given {argument} any more" for argument in gone]
        if now[hook]["required"] and not was["required"]:
            found.append(f"{hook} is required now")
    for hook in _gone(list(now), list(before)):
        if now[hook]["required"]:
            found.append(f"{group} has a new hook {hook} that is required")
    return found


def _gone(before: list[str], now: list[str]) -> list[str]:
    return [name for name in before if name not in now]

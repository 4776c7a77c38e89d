"""What has to change so that a node is as a document says."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pvefw.core.errors import NotFound, PvefwError, UsageError
from pvefw.wanted.document import Document, State, text
from pvefw.wanted.kind import Change, Context, Fields, Kind
from pvefw.wanted.kinds import KINDS


def listed(change: Change) -> Iterator[str]:
    """A change for people: what is done, then each field."""
    yield f"{change.action} {change.subject}"
    before, after = _flat(change.old), _flat(change.new)
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            yield f"  - {key}: {before[key]}"
        elif key not in before:
            yield f"  + {key}: {after[key]}"
        elif before[key] != after[key]:
            yield f"  ~ {key}: {before[key]} -> {after[key]}"


def differences(change: Change) -> Iterator[str]:
    """A change as a unified diff of the document's part."""
    before, after = _part(change, change.before), _part(change, change.after)
    lines = difflib.unified_diff(
        before, after, f"{change.subject} (is)", f"{change.subject} (wanted)"
    )
    yield from (line.rstrip("\n") for line in lines)


def _part(change: Change, fields: Fields | None) -> list[str]:
    if fields is None:
        return []
    part = {change.name: fields} if change.name else fields
    return text({change.kind.key: part}).splitlines(keepends=True)


def _flat(fields: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Fields with one text each; those of a field have its name before theirs."""
    texts: dict[str, str] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            texts |= _flat(value, f"{above}{key}.")
        elif isinstance(value, bool):
            texts[f"{above}{key}"] = "yes" if value else "no"
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            texts[f"{above}{key}"] = shown.replace("\n", "\\n")
    return texts


# --- comparing ------------------------------------------------------------------------------------


def compare(context: Context, document: Document, *, prune: bool, here: bool) -> list[Change]:
    """The changes that make a node what a document says, in the order in which they have to be made.

    :param prune: remove what is not named, of the kinds that the document has.
    :param here: the node is this machine.
    :raises UsageError: it names what belongs to another machine.
    :raises NotFound: it names what does not exist, and cannot be made here.
    :raises PvefwError: what is there cannot be found out.
    """
    changes: list[Change] = []
    for kind in (kind for kind in KINDS if kind.key in document.state):
        if kind.of_machine and not here:
            raise UsageError(
                f"{document.where(kind.key)}: {kind.key}: this is about the machine itself, and node "
                f"{context.paths.node} is another one",
                hint=f"Apply it there: ssh root@{context.paths.node} pvefw apply FILE",
            )
        changes += _of_kind(context, kind, document, changes, prune=prune)
    kept = [change for change in changes if change.after is not None]
    return [*kept, *reversed([change for change in changes if change.after is None])]


def _of_kind(
    context: Context, kind: Kind, document: Document, before: Sequence[Change], *, prune: bool
) -> Iterator[Change]:
    part = document.state[kind.key]
    there = kind.current(context)
    wanted = {"": part} if kind.singular else part
    named: dict[str, Fields] = {}
    for given, fields in wanted.items():
        where = document.where(f"{kind.key}.{given}" if given else kind.key)
        name = _named(context, kind, given, where)
        named[name] = fields
        old = there.get(name)
        if (
            old is None
            and not kind.creates
            and not any(kind.needs == change.kind.key for change in before)
        ):
            raise NotFound(
                f"{where}: {kind.key}.{given}: this does not exist",
                hint=f"There are: {', '.join(there) or 'none'}.",
            )
        new = _merged(kind, old, fields, prune=prune and kind.prunable)
        if old is None or new != old:
            yield Change(kind, name, old, new, where)
    if prune and kind.prunable and kind.creates and not kind.singular:
        for name, fields in there.items():
            if name not in named and is_for(fields, context.paths.node) and name not in kind.always:
                yield Change(kind, name, fields, None, document.file)


def _named(context: Context, kind: Kind, given: str, where: str) -> str:
    try:
        return kind.name(context, given)
    except PvefwError as error:
        error.message = f"{where}: {kind.key}.{given}: {error.message}"
        raise


def _merged(kind: Kind, old: Fields | None, wanted: Fields, *, prune: bool) -> Fields:
    """The fields of a thing as they are wanted, without those that have their default."""
    there = dict(old or {})
    kept = {key: value for key, value in there.items() if not prune or key in kind.lasting}
    for key, value in wanted.items():
        if old is not None and key in kind.ignored(old):
            kept.pop(key, None)
            kept |= {key: there[key]} if key in there else {}
        elif isinstance(value, Mapping):
            kept[key] = {**({} if prune else there.get(key, {})), **value}
        else:
            kept[key] = value
    return {key: value for key, value in kept.items() if _says_something(value)}


def _says_something(value: object) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


def is_for(fields: Fields, node: str) -> bool:
    """Whether a thing is for a node: it may be for others of the cluster only."""
    return not fields.get("nodes") or node in fields["nodes"]


# --- what is there --------------------------------------------------------------------------------


def export(context: Context, *, here: bool) -> State:
    """A node's state as a document.

    :param here: the node is this machine; what is of another one is left out, and so is what this one
        cannot say: :attr:`Context.left_out` has it.
    :raises PvefwError: a file cannot be read.
    """
    state: dict[str, Mapping[str, Any]] = {}
    for kind in KINDS:
        if kind.of_machine and not here:
            continue
        there = {
            name: fields
            for name, fields in _readable(context, kind).items()
            if is_for(fields, context.paths.node) and (fields or kind.creates)
        }
        part = there.get("", {}) if kind.singular else there
        if part:
            state[kind.key] = part
    return state


def _readable(context: Context, kind: Kind) -> Mapping[str, Fields]:
    """What is there of a kind; a hypervisor that does not run must not cost all the rest."""
    try:
        return kind.current(context)
    except PvefwError as error:
        if not kind.of_machine:
            raise
        context.left_out.append(f"{kind.key}: {error.message}")
        return {}

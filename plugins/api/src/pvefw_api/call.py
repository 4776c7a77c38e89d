"""Calls endpoints of the table; every door goes through here."""

from collections.abc import Mapping
from typing import Any

from pvefw.core.errors import PvefwError
from pvefw.store import nodes
from pvefw.store.paths import Paths
from pvefw_api import table
from pvefw_api.calls import Call
from pvefw_api.errors import FAILED, ApiError, bad_parameters, from_core
from pvefw_api.schema import check
from pvefw_api.table import Endpoint

_HERE = "localhost"
"""What Proxmox VE's API calls the node that is asked."""


def call(
    paths: Paths, method: str, path: str, given: Mapping[str, object], *, user: str = "root@pam"
) -> Any:
    """Call an endpoint; whether its caller may is the door's to decide.

    :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
    :param given: the parameters that are not in the path, as texts or values.
    :param user: whose the tasks are that it runs itself.
    :returns: its answer, or the :class:`~pvefw_api.calls.Job` that it wants to be run.
    :raises ApiError: there is no such endpoint, a parameter does not fit, or the work failed.
    """
    endpoint, named = table.find(method, path)
    twice = {key: "it is already in the path" for key in named if key in given}
    if twice:
        raise bad_parameters(twice)
    values = check(endpoint.parameters, {**given, **named})
    try:
        if endpoint.of_node:
            values["node"] = _this_node(paths, values["node"], method, path)
        answer = (
            _names(endpoint) if endpoint.run is None else endpoint.run(Call(paths, values, user))
        )
    except PvefwError as error:
        raise from_core(error, endpoint.absent.format(**values)) from error
    return endpoint.shaped(answer)


def is_here(paths: Paths, node: str) -> bool:
    """Whether the node that a path names is this one."""
    return node in (_HERE, paths.node)


def _this_node(paths: Paths, node: str, method: str, path: str) -> str:
    """The node's name, if it is this one.

    :raises NotFound: there is no such node.
    :raises ApiError: it is another one.
    """
    if is_here(paths, node):
        return paths.node
    nodes.check_known(paths, node, f"{method} {path}")
    raise ApiError(
        FAILED, f"{method} {path}: this is node {paths.node}", hint=f"Call it on {node}."
    )


def _names(endpoint: Endpoint) -> list[dict[str, str]]:
    key = next(iter(endpoint.returns["items"]["properties"]), "name")
    return [{key: name} for name in table.below(endpoint.path) if not name.startswith("{")]


def listing(paths: Paths, path: str) -> list[dict[str, str]]:
    """What is below a path, and what can be done with each: as ``pvesh ls`` shows it.

    :returns: ``name``, and ``capabilities``: ``D`` where there is more below it, then ``r`` for get,
        ``w`` for set, ``c`` for create, ``d`` for delete.
    :raises ApiError: as for :func:`call`.
    """
    endpoint, _ = table.find("GET", path)
    children = []
    for word in table.below(endpoint.path):
        names = _children(paths, path, endpoint) if word.startswith("{") else [word]
        below = f"{endpoint.path.rstrip('/')}/{word}"
        children += [{"capabilities": _capabilities(below), "name": name} for name in names]
    return sorted(children, key=lambda child: child["name"])


def _children(paths: Paths, path: str, endpoint: Endpoint) -> list[str]:
    answer = call(paths, "GET", path, {}) if endpoint.run is not None else []
    key = endpoint.child
    return [str(row[key]) for row in answer if isinstance(row, dict) and key in row]


def _capabilities(path: str) -> str:
    methods = {method for method, route in table.table() if route == path}
    letters = zip("rwcd", ("GET", "PUT", "POST", "DELETE"), strict=True)
    able = "".join(letter if method in methods else "-" for letter, method in letters)
    return f"{'D' if table.below(path) else '-'}{able}"

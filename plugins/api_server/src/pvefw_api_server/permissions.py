"""Whether somebody may call an endpoint, and what of its answer is theirs to see.

What the published schema says is checked as it stands there. For the endpoints that are everybody's, the
schema leaves the decision to the function, in words; those words are here. What pvefw has beyond the
schema and names programs or files of this host is root's: whoever may set that could become root.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pvefw import instances
from pvefw.core import references
from pvefw.core.errors import ConfigError, DigestMismatch, NotFound, PvefwError
from pvefw.core.families import DNS
from pvefw.instances import instance_binding
from pvefw.instances.codec import decode_data
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.section_config import split
from pvefw.tasks.upid import Upid
from pvefw_api import call
from pvefw_api.errors import ApiError
from pvefw_api.table import Endpoint
from pvefw_api_server.users import Identity

FORBIDDEN = 403
_BULK = {
    "startall": "VM.PowerMgmt",
    "stopall": "VM.PowerMgmt",
    "suspendall": "VM.PowerMgmt",
    "resumeall": "VM.PowerMgmt",
    "migrateall": "VM.Migrate",
}
"""What a bulk action needs on ``/``, or on ``/vms/ID`` of each guest that it names."""
_SETTINGS = "/cluster/acme/plugins"


def check(who: Identity, endpoint: Endpoint, given: Mapping[str, Any], paths: Paths) -> None:
    """Refuse a call that somebody may not make.

    :param given: its parameters, those in the path included, as they came.
    :raises ApiError: 403, and what would be needed.
    """
    if who.is_root:
        return
    if endpoint.permission == "root" or endpoint.is_beyond(given):
        raise _refused("user != root@pam")
    if not isinstance(endpoint.permission, str):
        template, privileges = endpoint.permission
        path = template.replace("{node}", _node(given, paths))
        path = path.replace("{vmid}", str(given.get("vmid")))
        _need(who, path, privileges)
    action = endpoint.path.rpartition("/")[2]
    if endpoint.method == "POST" and action in _BULK:
        _check_guests(who, _BULK[action], split(str(given.get("vms", ""))))
    if "{upid}" in endpoint.path:
        _check_task(who, endpoint, str(given["upid"]), paths)
    if endpoint.path.startswith(_SETTINGS) and endpoint.method in ("POST", "PUT"):
        _check_settings(given, paths)


def pinned(
    who: Identity, endpoint: Endpoint, given: Mapping[str, str], paths: Paths
) -> Mapping[str, str]:
    """The parameters of a call, which then changes nothing but what :func:`check` looks at.

    Else two changes at once, each of them allowed, could make together what is not.

    :raises DigestMismatch: the caller has seen another state than there is.
    """
    if who.is_root or endpoint.method != "PUT" or not endpoint.path.startswith(_SETTINGS):
        return given
    now = instances.digest(Node.open(paths), DNS.name)
    if given.get("digest", now) != now:
        raise DigestMismatch("the plugins were changed by somebody else (digest mismatch)")
    return {**given, "digest": now}


def _node(given: Mapping[str, Any], paths: Paths) -> str:
    """The node that a path names, which one that is to be woken is not this one; else this one."""
    node = str(given.get("node", paths.node))
    return paths.node if call.is_here(paths, node) else node


def _refused(words: str) -> ApiError:
    return ApiError(FORBIDDEN, f"Permission check failed ({words})")


def _need(who: Identity, path: str, privileges: Iterable[str]) -> None:
    missing = [privilege for privilege in privileges if not who.may(path, privilege)]
    if missing:
        raise _refused(f"{path}, {', '.join(missing)}")


def _check_guests(who: Identity, privilege: str, named: Iterable[str]) -> None:
    paths = [f"/vms/{vmid}" for vmid in named] or ["/"]
    for path in paths:
        _need(who, path, [privilege])


def _check_task(who: Identity, endpoint: Endpoint, upid: str, paths: Paths) -> None:
    """One's own tasks can be seen and stopped; those of others need a privilege on the node."""
    try:
        user = Upid.parse(upid).user
    except PvefwError:
        return  # whoever reads it refuses it
    if user != who.name:
        needed = "Sys.Audit" if endpoint.method == "GET" else "Sys.Modify"
        _need(who, f"/nodes/{paths.node}", [needed])


def _check_settings(given: Mapping[str, Any], paths: Paths) -> None:
    """Settings that lead to a program or a file of this host are root's.

    What matters is what the instance has afterwards: the plugin may be changed without its settings, and
    a masked value stands for the one that was there. What cannot be found out is refused.

    :raises PvefwError: what their plugin declares cannot be found out.
    """
    node = Node.open(paths)
    before = _instance(node, given)
    if before is None:
        return  # the call says so
    after = replace(before, plugin=str(given.get("api", before.plugin)))
    is_placed = "data" in given
    if is_placed:
        try:
            after = replace(after, settings=decode_data(str(given["data"])))
        except ConfigError:
            return  # as above: it reads them by the same function
        after = instances.unmasked(after, before)
    infos = instance_binding.declared(node, after.family, after.plugin) if after.settings else ()
    files = {info.key for info in infos if info.type == "path"}
    is_new = is_placed or after.plugin != before.plugin
    for name, value in after.settings.items():
        if name in files or (is_new and references.is_reference(value)):
            raise _refused(f"{name} names a program or a file: user != root@pam")


def _instance(node: Node, given: Mapping[str, Any]) -> instances.Instance | None:
    """What a call is about: the instance that is there, or a new one without settings."""
    id_, type_ = str(given.get("id", "")), str(given.get("type", ""))
    with contextlib.suppress(NotFound):
        return instances.load(node, DNS.name, id_)
    return instances.Instance(instances.family_of(type_), id_, type_) if type_ else None


# --- answers ---------------------------------------------------------------------------------------


def visible(who: Identity, endpoint: Endpoint, answer: Any, paths: Paths) -> Any:
    """What somebody may see of a list that is everybody's: own tasks, and guests with ``VM.Audit``."""
    if who.is_root or not isinstance(answer, list) or endpoint.permission != "all":
        return answer
    seen = [row for row in answer if _may_see(who, row, paths)]
    return answer if len(seen) == len(answer) else seen


def sees_all_tasks(who: Identity, paths: Paths) -> bool:
    """Whether somebody sees the tasks of others."""
    return who.is_root or who.may(f"/nodes/{paths.node}", "Sys.Audit")


def _may_see(who: Identity, row: Any, paths: Paths) -> bool:
    if not isinstance(row, dict):
        return True
    if "upid" in row:
        return row.get("user") == who.name or sees_all_tasks(who, paths)
    return "vmid" not in row or who.may(f"/vms/{row['vmid']}", "VM.Audit")

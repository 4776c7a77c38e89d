"""The table of endpoints: method, path and function, each in one line; their schema is found by these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import unquote

from pvefw_api import acme, cluster, guest, node, own
from pvefw_api.calls import Call, Command, Handler, path_parameters
from pvefw_api.errors import not_implemented
from pvefw_api.schema import Properties, Schema, published, shaped
from pvefw_api.schema import find as find_property

METHODS = {"get": "GET", "create": "POST", "set": "PUT", "delete": "DELETE"}
"""What ``pvesh`` calls them, and HTTP."""


@dataclass(frozen=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    run: Handler | None
    """``None`` for one that only names those below it."""

    @cached_property
    def _published(self) -> Schema | None:
        return published().get(f"{self.method} {self.path}")

    @cached_property
    def parameters(self) -> Properties:
        """What it takes: what is published, and what its command has beyond that."""
        more = self.run.parameters() if isinstance(self.run, Command) else {}
        named = path_parameters(self.path)
        properties = self._published["parameters"] if self._published else {}
        properties = {
            key: {**_described(more.get(key)), **schema} for key, schema in properties.items()
        }
        optional = (
            {key: {**schema, "optional": True} for key, schema in more.items()}
            if properties
            else more
        )
        fixed = {key: {**properties.get(key, named[key]), "optional": False} for key in named}
        return {**optional, **properties, **_EXTRA.get((self.method, self.path), {}), **fixed}

    @cached_property
    def returns(self) -> Schema:
        """What it answers: in Proxmox VE's dialect where that is published, else a JSON schema."""
        if self._published:
            schema: Schema = self._published["returns"]
            return schema
        if isinstance(self.run, Command):
            return self.run.returns()
        return _NAMES if self.run is None else _ANSWERS[self.method, self.path]

    @property
    def permission(self) -> Any:
        """Who may call it: ``all``, ``root``, or a path and privileges on it."""
        if self._published:
            return self._published["permission"]
        if self.method != "GET" and self.path.startswith(own.ROOTS):
            return "root"
        return [
            own.ROOT.rpartition("/")[0],
            ["Sys.Audit" if self.method == "GET" else "Sys.Modify"],
        ]

    def is_beyond(self, given: Mapping[str, object]) -> bool:
        """Whether it is a published endpoint, and one of its parameters is not: who may give that is not
        said. What is no parameter at all is refused for everybody, by its name.
        """
        if self._published is None:
            return False
        known = {**self._published["parameters"], **path_parameters(self.path)}
        ours = (key for key in given if find_property(self.parameters, key) is not None)
        return any(find_property(known, key) is None for key in ours)

    @property
    def absent(self) -> str:
        """How Proxmox VE says that what the path names is not there; empty where it has no words."""
        return _ABSENT.get(self.path, "")

    @property
    def child(self) -> str:
        """Of a list: the key whose value is the next word of the path of each; empty where none is."""
        if self._published and "child" in self._published:
            return str(self._published["child"])
        named = [name[1:-1] for name in below(self.path) if name.startswith("{")]
        return named[0] if named else ""

    @property
    def of_node(self) -> bool:
        """Whether the node in its path has to answer it; to be woken, a node need not be awake, and what
        there is below a path is the same on all.
        """
        return self.path.startswith("/nodes/{node}/") and self.run not in (None, node.wake)

    def as_dict(self) -> dict[str, Any]:
        """What forms and scripts are made from: its parameters, and the command that does the same."""
        command = self.run if isinstance(self.run, Command) else None
        return {
            "method": self.method,
            "path": self.path,
            "command": command.typed() if command else None,
            "words": command.words() if command else {},
            "parameters": dict(self.parameters),
        }

    def shaped(self, answer: Any) -> Any:
        """The answer with the types that its schema names."""
        return shaped(self.returns, answer) if self._published else answer


_NAMES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
}
_ENDPOINTS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "method": {"type": "string"},
            "path": {"type": "string"},
            "command": {"type": ["string", "null"]},
            "words": {"type": "object", "additionalProperties": {"type": "string"}},
            "parameters": {"type": "object", "additionalProperties": {"type": "object"}},
        },
        "required": ["method", "path", "command", "words", "parameters"],
        "additionalProperties": False,
    },
}
_CA_FILE: Properties = {
    "ca-file": {
        "type": "string",
        "optional": True,
        "description": "Certificates to trust for a private authority (PEM).",
    }
}
_PAIR = f"{own.ROOT}/certificates/{{name}}/pair"
_ANSWERS: Mapping[tuple[str, str], Schema] = {
    ("GET", f"{own.ROOT}/endpoints"): _ENDPOINTS,
    ("POST", _PAIR): {"type": "null"},
}
"""What functions answer that are not published."""
_EXTRA: Mapping[tuple[str, str], Properties] = {
    ("POST", "/cluster/acme/account"): _CA_FILE,
    ("GET", "/cluster/acme/meta"): _CA_FILE,
    ("GET", "/cluster/acme/tos"): _CA_FILE,
    ("POST", _PAIR): {
        key: parameter
        for key, parameter in published()["POST /nodes/{node}/certificates/custom"][
            "parameters"
        ].items()
        if key != "node"
    },
}
"""What pvefw's functions take beyond the published schema."""

_ABSENT: Mapping[str, str] = {
    "/cluster/acme/account/{name}": "ACME account config file '{name}' does not exist.",
    "/cluster/acme/plugins/{id}": "ACME plugin '{id}' not defined",
}

_PUBLISHED: tuple[tuple[str, str, Handler | None], ...] = (
    ("GET", "/version", cluster.version),
    ("GET", "/nodes", cluster.nodes),
    ("GET", "/cluster/resources", cluster.resources),
    ("GET", "/cluster/tasks", cluster.tasks),
    ("GET", "/cluster/ha/resources", cluster.ha_resources),
    ("GET", "/cluster/ha/status/current", cluster.ha_status),
    ("GET", "/cluster/options", cluster.options),
    ("PUT", "/cluster/options", cluster.set_options),
    ("GET", "/cluster/acme", None),
    ("GET", "/cluster/acme/account", Command("acme account list")),
    ("POST", "/cluster/acme/account", acme.register),
    ("GET", "/cluster/acme/account/{name}", Command("acme account info")),
    ("PUT", "/cluster/acme/account/{name}", Command("acme account update")),
    ("DELETE", "/cluster/acme/account/{name}", Command("acme account deactivate")),
    ("GET", "/cluster/acme/challenge-schema", acme.challenge_schema),
    ("GET", "/cluster/acme/directories", acme.directories),
    ("GET", "/cluster/acme/meta", acme.meta),
    ("GET", "/cluster/acme/tos", acme.terms),
    ("GET", "/cluster/acme/plugins", acme.plugins),
    ("POST", "/cluster/acme/plugins", Command("acme plugin add")),
    ("GET", "/cluster/acme/plugins/{id}", acme.plugin),
    ("PUT", "/cluster/acme/plugins/{id}", Command("acme plugin set")),
    ("DELETE", "/cluster/acme/plugins/{id}", Command("acme plugin remove")),
    ("GET", "/nodes/{node}/certificates", None),
    ("GET", "/nodes/{node}/certificates/info", Command("cert info")),
    ("POST", "/nodes/{node}/certificates/custom", node.upload_certificate),
    ("DELETE", "/nodes/{node}/certificates/custom", node.delete_certificate),
    ("GET", "/nodes/{node}/certificates/acme", None),
    ("POST", "/nodes/{node}/certificates/acme/certificate", Command("acme cert order")),
    ("PUT", "/nodes/{node}/certificates/acme/certificate", Command("acme cert renew")),
    ("DELETE", "/nodes/{node}/certificates/acme/certificate", Command("acme cert revoke")),
    ("GET", "/nodes/{node}/config", Command("config get")),
    ("PUT", "/nodes/{node}/config", Command("config set")),
    ("GET", "/nodes/{node}/status", node.status),
    ("POST", "/nodes/{node}/status", node.power),
    ("POST", "/nodes/{node}/wakeonlan", node.wake),
    ("GET", "/nodes/{node}/qemu", node.virtual_machines),
    ("GET", "/nodes/{node}/lxc", node.containers),
    ("POST", "/nodes/{node}/startall", Command("startall")),
    ("POST", "/nodes/{node}/stopall", Command("stopall")),
    ("POST", "/nodes/{node}/suspendall", Command("suspendall")),
    ("POST", "/nodes/{node}/migrateall", node.migrate_all),
    ("GET", "/nodes/{node}/tasks", Command("task list")),
    ("GET", "/nodes/{node}/tasks/{upid}", None),
    ("DELETE", "/nodes/{node}/tasks/{upid}", Command("task stop")),
    ("GET", "/nodes/{node}/tasks/{upid}/log", node.task_log),
    ("GET", "/nodes/{node}/tasks/{upid}/status", Command("task status")),
)


def _described(schema: Schema | None) -> Schema:
    """What a command says of its option; the published schema has no texts."""
    return {key: part for key, part in (schema or {}).items() if key == "description"}


def _endpoints(_call: Call) -> list[dict[str, Any]]:
    return [endpoint.as_dict() for _, endpoint in sorted(table().items())]


_FUNCTIONS = (("GET", f"{own.ROOT}/endpoints", _endpoints), ("POST", _PAIR, node.upload_pair))
"""Those beyond the published part that are no commands."""


@cache
def table() -> Mapping[tuple[str, str], Endpoint]:
    """Every endpoint, by method and path; each folder has an index."""
    endpoints = {
        (method, path): Endpoint(method, path, run)
        for method, path, run in (*_PUBLISHED, *guest.endpoints(), *own.endpoints(), *_FUNCTIONS)
    }
    for folder in sorted({folder for _, path in endpoints for folder in _folders(path)}):
        endpoints.setdefault(("GET", folder), Endpoint("GET", folder, None))
    return endpoints


def _folders(path: str) -> Iterator[str]:
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def find(method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint of a call, and the parameters in its path.

    :raises ApiError: there is none.
    """
    parts = [unquote(part) for part in path.split("/") if part]
    candidates = _by_length().get((method, len(parts)), ())
    fits = [
        (endpoint, named)
        for words, endpoint in candidates
        if (named := _match(words, parts)) is not None
    ]
    if not fits:
        raise not_implemented(method, "/" + "/".join(parts))
    return min(fits, key=lambda candidate: len(candidate[1]))  # a word that is written out wins


@cache
def _by_length() -> Mapping[tuple[str, int], list[tuple[list[str], Endpoint]]]:
    """The endpoints, each with the words of its path, by method and number of words."""
    endpoints: dict[tuple[str, int], list[tuple[list[str], Endpoint]]] = {}
    for endpoint in table().values():
        words = [part for part in endpoint.path.split("/") if part]
        endpoints.setdefault((endpoint.method, len(words)), []).append((words, endpoint))
    return endpoints


def _match(words: list[str], parts: list[str]) -> dict[str, str] | None:
    named = {}
    for word, part in zip(words, parts, strict=True):
        if word.startswith("{"):
            named[word[1:-1]] = part
        elif word != part:
            return None
    return named


def below(path: str) -> list[str]:
    """The next words of the paths below a path as it is in the table; ``{…}`` for a parameter."""
    prefix = path.rstrip("/") + "/"
    words = {
        route[len(prefix) :].partition("/")[0] for _, route in table() if route.startswith(prefix)
    }
    return sorted(words - {""})

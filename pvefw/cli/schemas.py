"""The JSON that each command prints, as a JSON schema (2020-12): what scripts may rely on.

The only place that says it: the reference is generated from here, and every output that a test sees is
checked against it. Keys may be added in a later version; none is removed or changes its meaning before
the next major version.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def _text(meaning: str = "") -> Schema:
    return {"type": "string", "description": meaning}


def _number(meaning: str = "") -> Schema:
    return {"type": "integer", "description": meaning}


def _seconds(meaning: str = "") -> Schema:
    return {"type": "number", "description": meaning}


def _flag(meaning: str = "") -> Schema:
    return {"type": "boolean", "description": meaning}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _one_of(meaning: str, *words: str) -> Schema:
    return {"type": "string", "enum": list(words), "description": meaning}


def _texts(meaning: str = "") -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": meaning}


def _object(fields: Mapping[str, Schema], meaning: str = "") -> Schema:
    """Exactly these keys; one that ends with ``?`` may be missing."""
    return {
        "type": "object",
        "description": meaning,
        "properties": {key.rstrip("?"): schema for key, schema in fields.items()},
        "required": [key for key in fields if not key.endswith("?")],
        "additionalProperties": False,
    }


def _map(values: Schema, meaning: str = "") -> Schema:
    """Any keys, all values alike."""
    return {"type": "object", "description": meaning, "additionalProperties": values}


def _list(items: Schema, meaning: str = "") -> Schema:
    return {"type": "array", "description": meaning, "items": items}


# --- what several commands print --------------------------------------------------------------------

_TASK = {
    "upid": _text("its id"),
    "node": _text(),
    "pid": _number("process id"),
    "pstart": _number("start of the process, clock ticks after boot"),
    "starttime": _number("seconds since the epoch"),
    "type": _text("`acmenewcert`, `startall` …"),
    "id": _text("what it is about; may be empty"),
    "user": _text(),
    "endtime?": _number("seconds since the epoch; missing while it runs"),
    "status?": _text("`OK`, `WARNINGS: n`, `RUNNING`, or the error"),
}
_GUEST = _object(
    {
        "id": _text("what commands call it: `100`, or `BACKEND:100`"),
        "name": _text(),
        "kind": _text("`vm` or `container`"),
        "backend": _text("the hypervisor that runs it"),
        "state": _one_of("", "running", "paused", "stopped", "unknown"),
        "onboot": _flag("`startall` starts it"),
        "order": _or_null(_number("its place in the order of start")),
        "up": _or_null(_seconds("pause after its start")),
        "down": _or_null(_seconds("that its shutdown may take")),
        "ready": _text("`agent`, `tcp:HOST:PORT` or empty"),
        "after": {"type": "array", "items": {"type": "integer"}, "description": "VMIDs"},
        "needs": _texts("the ids of those guests"),
        "blocked-by": _texts("those of them that neither run nor start at boot"),
        "template": _flag(),
        "ha": _flag("the HA manager starts and stops it"),
        "memory": _number("bytes"),
        "backend-id": _text("what the hypervisor calls it"),
        "saved": _flag("its memory is on disk, from where it continues"),
        "problem": _text("why its settings could not be read; may be empty"),
        "note": _text("what is special about it; may be empty"),
    }
)
_PLAN = _list(
    _object(
        {
            "second": _or_null(_seconds("when it begins at the earliest; `null` where blocked")),
            "latest": _or_null(_seconds("when a shutdown is over at the latest")),
            "action": _text("`start`, `shutdown`, `migrate`, `suspend`, `resume`"),
            "id": _text(),
            "name": _text(),
            "pause": _or_null(_seconds("after it")),
            "timeout": _or_null(_seconds()),
            "target": _text("the node that it moves to; may be empty"),
            "note": _text("why it waits or is blocked; may be empty"),
        }
    ),
    "with `--dry-run`; otherwise the task's log is printed, as text",
)
_NODES = _text("those that use it, separated by commas; missing where all do")
_PROBLEM = _text("why its section cannot be read completely")
_INSTANCE = {
    "id": _text(),
    "type": _text("its family: `bootloader`, `dns_catalog`, `guest` or `observer`"),
    "api": _text("the plugin"),
    "data": _map(_text(), "settings; secrets are masked"),
    "disable": _flag(),
    "nodes?": _NODES,
    "where?": _text("file and line"),
    "problem?": _PROBLEM,
}
_INSTANCE_CONFIG = _object({**_INSTANCE, "digest": _text("for `--digest`")})
_INSTANCES = _list(_object(_INSTANCE))
_ESP_LOADER = _object(
    {
        "firmware": _texts("`uefi`, `bios`"),
        "kernels": _texts(),
        "default": _or_null(_text()),
        "next-boot": _or_null(_text()),
        "version": _text(),
    }
)
_KSM = _object(
    {
        "state": _text("`stopped`, `running` or `unmerged`"),
        "run": _number("the kernel's `run`"),
        "saved": _number("bytes in pages that need not be there"),
        "profit": _or_null(_number("`general_profit`: bytes saved, less what KSM itself needs")),
        "page-size": _number("bytes"),
        "pages-shared": _or_null(_number("the kernel's figure of this name, as all that follow")),
        "pages-sharing": _or_null(_number()),
        "pages-unshared": _or_null(_number()),
        "pages-volatile": _or_null(_number()),
        "ksm-zero-pages": _or_null(_number()),
        "full-scans": _or_null(_number()),
        "pages-to-scan": _or_null(_number()),
        "sleep-millisecs": _or_null(_number()),
        "services": _map(
            _object({"active": _text("as systemd says it"), "enabled": _text()}),
            "those that are installed, of `ksmtuned.service` and `ksm.service`",
        ),
    }
)
_BOOT_SUMMARY = _object(
    {
        "esps": _list(
            _object(
                {
                    "uuid": _text(),
                    "there": _flag(),
                    "interrupted": _flag("a refresh did not end"),
                    "failure": _text("why the last refresh failed; may be empty"),
                }
            )
        ),
        "pinned": _or_null(_text()),
        "next-boot": _or_null(_text()),
        "manual": _texts(),
        "problem": _text("may be empty"),
        "unexpected": _or_null(
            _object(
                {
                    "wanted": _text("the kernel that was pinned when the host was started"),
                    "running": _text("the one that runs"),
                    "line": _text("for people"),
                }
            )
        ),
    }
)
_CERTIFICATES = _object(
    {
        "certificates": _list(
            _object(
                {
                    "file": _text(),
                    "names": _texts(),
                    "not-after": _text("ISO 8601"),
                    "due": _or_null(_text("when it is renewed, ISO 8601; `null`: not by pvefw")),
                    "urgency": _one_of("", "notice", "warning", "critical", "expired"),
                    "failures": _number("tries in a row"),
                    "doubt": _text("why the authority would refuse the renewal, or empty"),
                    "pinned-by": _texts(
                        "what pins its fingerprint, which then changes: instances, storages"
                    ),
                    "revoked": _flag("whether a node has revoked it, or one with its key"),
                    "line": _text("for people"),
                    "name": _text("`pveproxy`, that of its section, or empty: the cluster's CA"),
                    "differences": _texts("how the configuration differs from it"),
                    "issue": _text("what needs attention, the same as long as it does; or empty"),
                }
            )
        ),
        "not-deployed": _texts(
            "`TARGET` or `NAME: TARGET` that has not received the certificate yet"
        ),
        "not-ordered": _texts("configured certificates that do not exist yet, by name"),
        "problems": _texts(
            "configured names of things that do not exist, and keys that everybody can read"
        ),
        "timer?": _flag(
            "something runs `pvefw renew` by itself; only where there is something to renew"
        ),
    }
)
_GUESTS = _object(
    {
        "states": _map(_number(), "how many guests are in which state"),
        "not-running": _texts("those with `onboot` that are stopped"),
        "failures": _texts("backends that do not answer"),
    }
)


_SERVED: Mapping[str, Schema] = {
    "address": _text("`HOST:PORT`"),
    "ok": _flag("the installed certificate is served"),
    "reason": _text("what is wrong, or empty"),
}


def _part(data: Schema) -> Schema:
    """A part of ``status``; without data where it could not be looked at, or is not there."""
    return _object(
        {
            "state": _one_of("", "ok", "attention", "acknowledged", "failed", "none"),
            "lines": _texts("for people"),
            "data": {"anyOf": [data, {"type": "object", "maxProperties": 0}]},
        }
    )


_CHANGES = _object(
    {
        "changed": _flag("something was changed; with `--check`, would be"),
        "check": _flag("nothing was to be changed, only checked"),
        "changes": _list(
            _object(
                {
                    "part": _text("of the document: `plugins`"),
                    "name": _text("its name there; empty for a part without names"),
                    "action": _one_of("", "add", "change", "remove"),
                    "before": _or_null(_map({}, "its fields; `null`: it did not exist")),
                    "after": _or_null(_map({}, "its fields; `null`: it is removed")),
                    "done": _flag("the change was made"),
                }
            )
        ),
    }
)


CHANGED = _object(
    {"changed": _flag("something changed, or would"), "dry-run": _flag("nothing was written")}
)
_CHANGING = (
    *("acme catalog set", "acme plugin add", "acme plugin set", "boot cmdline set"),
    *("boot kernel add", "boot loader set", "cert add", "cert set", "config set"),
    *("guest backend add", "guest backend set", "guest set", "observer add", "observer set"),
)

# --- each command -------------------------------------------------------------------------------------

SCHEMAS: Mapping[str, Schema] = {
    **dict.fromkeys(_CHANGING, CHANGED),
    "acme account info": _object(
        {
            "account": _map({}, "the account object (RFC 8555 section 7.1.2)"),
            "directory": _text("URL"),
            "location": _text("URL"),
            "tos": _text("URL of the terms that were agreed to; may be empty"),
        }
    ),
    "acme account list": _list(_object({"name": _text()})),
    "acme catalog config": _INSTANCE_CONFIG,
    "acme catalog list": _INSTANCES,
    "acme directory list": _list(
        _object(
            {
                "name": _text("the short name, or empty"),
                "title": _text(),
                "url": _text("the directory"),
                "challenges": _texts("known types; a directory does not list them"),
                "wildcard": _or_null(_flag("null where it is not known; so for the others")),
                "address": _or_null(_flag("whether it issues for IP addresses")),
                "binding": _or_null(_flag("whether accounts need an external account binding")),
                "profiles": _or_null(_texts("null without `--ask`")),
                "ari": _or_null(_flag("renewal information; null without `--ask`")),
                "persist": _or_null(_text("the draft that its directory shows, or empty")),
                "problem": _text("why its directory could not be read"),
            }
        )
    ),
    "acme persist check": _list(
        _object(
            {
                "where": _text("a name server, or the place of CAA records"),
                "good": _flag(),
                "said": _text("the record, or what is wrong"),
            }
        )
    ),
    "acme persist show": _object(
        {
            "name": _text("absolute"),
            "type": _text("`TXT`"),
            "content": _text("the whole text"),
            "line": _text("for a zone file"),
            "issuers": _texts("the authority's names; any of them may be in the record"),
            "draft": _one_of("of dns-persist-01", "01", "02"),
        }
    ),
    "acme plugin config": _object(
        {
            "api": _text("the plugin"),
            "data": _map(_text(), "settings; secrets are masked"),
            "digest": _text("for `--digest`"),
            "plugin": _text("the instance"),
            "type": _text("`dns`, `standalone` or `challenge`"),
            "disable?": _flag(),
            "validation-delay?": _number("seconds; missing where it is 30"),
            "nodes?": _NODES,
            "problem?": _PROBLEM,
        }
    ),
    "acme plugin list": _list(
        _object({"plugin": _text(), "type": _text(), "api": _text(), "disable": _flag()})
    ),
    "apply": {
        "description": "the changes; with `--export`, a document, and with `--schema`, its schema",
        "anyOf": [_CHANGES, {"type": "object", "not": {"required": ["changes"]}}],
    },
    "boot cmdline get": _object({"cmdline": _text()}),
    "boot kernel list": _object(
        {
            "manual": _texts(),
            "automatic": _texts(),
            "pinned": _or_null(_text()),
            "next-boot": _or_null(_text()),
            "incomplete": _map(_text(), "version to what is missing"),
        }
    ),
    "boot loader": _object(
        {
            "firmware": _text("`uefi` or `bios`"),
            "secure-boot": _flag(),
            "loader": _or_null(_text("what started this host")),
            "entry": _or_null(_text("the EFI entry")),
            "on-esps": _map(_texts(), "ESP to the loaders on it"),
            "suggested": _text("the one that `boot init` chooses"),
            "evidence": _texts("for people"),
        }
    ),
    "boot loader config": _INSTANCE_CONFIG,
    "boot loader list": _INSTANCES,
    "boot status": _object(
        {
            "ok": _flag(),
            "kernels": _texts(),
            "default": _text(),
            "next-boot": _or_null(_text()),
            "problems": _texts("what concerns all ESPs"),
            "esps": _list(
                _object(
                    {
                        "uuid": _text(),
                        "device": _text("may be empty"),
                        "state": _one_of("", "ok", "drift", "missing", "error"),
                        "size": _number("bytes"),
                        "free": _number("bytes"),
                        "loaders": _map(_ESP_LOADER),
                        "problems": _texts(),
                    }
                )
            ),
        }
    ),
    "cert info": _list(
        _object(
            {
                "filename": _text(),
                "fingerprint": _text("SHA-256"),
                "subject": _text(),
                "issuer": _text(),
                "notbefore": _number("seconds since the epoch"),
                "notafter": _number("seconds since the epoch"),
                "public-key-type": _text(),
                "public-key-bits": _number(),
                "san": _texts("names"),
                "pem": _text(),
            }
        )
    ),
    "cert check": _list(_object(_SERVED)),
    "cert import": _list(
        _object(
            {
                "certificate": _text("its name there"),
                "client": _one_of("the client it belongs to", "certbot", "acme.sh", "lego"),
                "authority": _text("the directory's URL, or its host; may be empty"),
                "file": _text("the certificate with its chain"),
            }
        )
    ),
    "cert list": _list(
        _object(
            {
                "name": _text(),
                "names": _texts(),
                "account": _text("the ACME account"),
                "targets": _texts("observers that deliver it"),
                "serves": _text("where it is served, or empty"),
                "certificate": _text("its file"),
                "key": _text("the type of its key"),
                "not-after": _or_null(_text("ISO 8601; `null`: none is installed")),
            }
        )
    ),
    "config get": _map(
        _text(), "properties that are set, by name; `description` and `digest` among them"
    ),
    "guest backend config": _INSTANCE_CONFIG,
    "guest backend list": _INSTANCES,
    "guest list": _list(_GUEST),
    "guest show": _GUEST,
    "ksm status": _KSM,
    "migrateall": _PLAN,
    "node drain": _PLAN,
    "node return": _list(
        _object(
            {
                "id": _text(
                    "of a guest that is away; empty where the note says who cannot come back"
                ),
                "name": _text(),
                "from": _text("the node that would send it back"),
                "note": _text("why it cannot come back; may be empty"),
            }
        ),
        "with `--dry-run`; otherwise the task's log is printed, as text",
    ),
    "node status": _object(
        {
            "node": _text(),
            "boot": _text("identifies this boot"),
            "boot-guests": _one_of("of this boot", "done", "failed", "pending", "none"),
            "drained": _text("since when; empty where it is not"),
            "guests-away": _map(_text(), "by id: the node that each was sent to"),
            "maintenance": _object(
                {
                    "host?": _text("where it is"),
                    "step?": _text(),
                    "since?": _text(),
                    "hosts?": _texts(),
                    "done?": _texts(),
                },
                "the one that this node runs; empty where there is none",
            ),
        }
    ),
    "observer config": _INSTANCE_CONFIG,
    "observer list": _INSTANCES,
    "plugin doctor": _list(
        _object(
            {
                "family": _text(),
                "name": _text(),
                "distribution": _text(),
                "api": _or_null(_number()),
                "usable": _flag(),
                "import_seconds": _or_null(_seconds()),
                "findings": _list(
                    _object({"severity": _text(), "what": _text(), "fix": _text("what to do")})
                ),
            }
        )
    ),
    "plugin list": {
        "description": "plugins; with `--providers`, DNS providers",
        "anyOf": [
            _list(
                _object(
                    {
                        "family": _text(),
                        "name": _text(),
                        "distribution": _text(),
                        "version": _text(),
                        "api": _or_null(_number("the API version that it is made for")),
                        "state": _text("`ok`, or what is wrong"),
                    }
                )
            ),
            _list(
                _object(
                    {
                        "api": _text("what `--api` takes"),
                        "name": _text(),
                        "title": _text("the provider's name for people; may be empty"),
                        "source": _text("the distribution, or `dns_catalog/NAME`"),
                    }
                )
            ),
        ],
    },
    "plugin search": _list(
        _object(
            {
                "family": _text(),
                "name": _text(),
                "title": _text("the provider's name for people; empty for plugins of their own"),
                "source": _text("the distribution, or `dns_catalog/NAME`"),
            }
        )
    ),
    "plugin show": {
        "description": "settings; with `--json-schema`, a JSON schema of them",
        "oneOf": [
            _list(
                _object(
                    {
                        "key": _text(),
                        "type": _text(),
                        "required": _flag(),
                        "secret": _flag(),
                        "default": _text("may be empty"),
                        "choices": _texts(),
                        "help": _text(),
                    }
                )
            ),
            {"type": "object", "required": ["$schema", "properties"]},
        ],
    },
    "resumeall": _PLAN,
    "startall": _PLAN,
    "status": _object(
        {
            "node": _text(),
            "time": _text("ISO 8601"),
            "ok": _flag("nothing needs attention"),
            "parts": _object(
                {
                    "certificates?": _part(_CERTIFICATES),
                    "served?": _part(
                        _object({"addresses": _list(_object({"certificate": _text(), **_SERVED}))})
                    ),
                    "credentials?": _part(
                        _object(
                            {
                                "expires": {
                                    "type": "object",
                                    "additionalProperties": _text("ISO 8601"),
                                }
                            }
                        )
                    ),
                    "records?": _part(_object({"warnings": _texts("what to do, and by when")})),
                    "tasks?": _part(
                        _object({"failed": _list(_object(_TASK)), "running": _list(_object(_TASK))})
                    ),
                    "boot?": _part(_BOOT_SUMMARY),
                    "guests?": _part(_GUESTS),
                    "ksm?": _part(_KSM),
                    "units?": _part(
                        _object(
                            {
                                "installed": _texts("units of pvefw that exist"),
                                "problems": _texts("what keeps one from running, and what to do"),
                            }
                        )
                    ),
                }
            ),
            "hosts?": _list(
                _object(
                    {
                        "host": _text(),
                        "ok": _flag("it answers, and nothing needs attention there"),
                        "problem": _text("why it does not answer; else empty"),
                        "status": _or_null(_map({}, "what `status` prints there")),
                    }
                ),
                "with `--hosts`; `parts` is empty then",
            ),
        }
    ),
    "stopall": _PLAN,
    "suspendall": _PLAN,
    "task list": _list(_object(_TASK)),
    "task log": _list(_object({"n": _number("of the line, from 1"), "t": _text("the line")})),
    "task status": _object(
        {
            **{key: schema for key, schema in _TASK.items() if key != "status?"},
            "status": _one_of("whether it runs", "running", "stopped"),
            "exitstatus?": _text("`OK`, `WARNINGS: n`, or the error; missing while it runs"),
            "explanation?": _text("of an end that says nothing itself"),
        }
    ),
}

"""What every endpoint refuses. It is asked as the front asks the helper, but in this process."""

import json
import os
import socket

import full_node
import pytest

from pvefw.host.clock import SystemClock
from pvefw.store.paths import Paths
from pvefw_api import table
from pvefw_api.errors import ApiError
from pvefw_api_server import answering, helper, tickets, users, wire

TABLE = table.table()
CONCRETE = {"node": "pve1", "upid": full_node.UPID, "vmid": "100"}
NOBODY, ROOT, AUDITOR = "nobody@pam", "root@pam", "auditor@pam"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    paths = Paths(tmp_path_factory.mktemp("every") / "root", "pve1")
    full_node.fill(paths)
    with users.changing(paths) as found:
        found[NOBODY] = users.User(NOBODY)
        found[AUDITOR] = users.User(AUDITOR, users.grants(["/=Sys.Audit"]))
    return paths


def call(paths, key, *, user=ROOT, age=0, csrf_of=None, ticket=True, **given):
    """A call as the front hands it on."""
    method, path = key
    for name, value in CONCRETE.items():
        path = path.replace(f"{{{name}}}", value)
    secret, now = tickets.key(paths), SystemClock().now().timestamp() - age
    said = {"method": method, "path": path.replace("{", "").replace("}", ""), "parameters": given}
    if ticket:
        said["ticket"] = tickets.issue(secret, user, now)[0]
        said["csrf"] = tickets.issue(secret, csrf_of or user, now)[1]
    return said


def asked(paths, key, **options):
    """The refusal of a call; that it is none is a fault."""
    answers = []
    answering.answer(paths, call(paths, key, **options), answers.append)
    [answer] = answers
    assert isinstance(answer, ApiError), f"{key} was answered: {answer}"
    assert answer.errors, f"{key}: clients read nothing else"
    return answer


def statuses(paths, keys, **options):
    return {key: asked(paths, key, **options).status for key in keys}


CHANGES = [key for key in sorted(TABLE) if key[0] != "GET"]


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        (sorted(TABLE), {"ticket": False}),
        (sorted(TABLE), {"age": tickets.LIFETIME + 1}),
        (sorted(TABLE), {"user": "stranger@pam"}),
        (CHANGES, {"csrf_of": NOBODY}),
    ],
    ids=["no ticket", "an expired ticket", "nobody who is known", "another page"],
)
def test_who_does_not_show_who_calls_is_refused(node, keys, options):
    assert statuses(node, keys, **options) == dict.fromkeys(keys, 401)


def test_who_has_no_rights_is_refused_by_all_that_is_not_everybodys(node):
    """What is everybody's in the schema leaves the decision to its function, which hides or refuses."""
    keys = [key for key, endpoint in sorted(TABLE.items()) if endpoint.permission != "all"]
    keys += [key for key in CHANGES if key not in keys]
    assert statuses(node, keys, user=NOBODY) == dict.fromkeys(keys, 403)


def tree(paths):
    """All files but locks."""
    found = [path for path in paths.root.rglob("*") if path.is_file() and "lock" not in str(path)]
    return {path: path.read_bytes() for path in found}


def test_who_may_only_look_changes_nothing(node):
    tickets.key(node)  # made by whatever needs it first
    before = tree(node)
    assert statuses(node, CHANGES, user=AUDITOR) == dict.fromkeys(CHANGES, 403)
    assert tree(node) == before


def test_a_parameter_that_is_not_in_the_schema_is_named(node):
    for key in sorted(TABLE):
        refused = asked(node, key, surprise="1")
        assert (refused.status, "surprise" in refused.errors) == (400, True), key


class NeedsAProcessError(Exception):
    """The helper would fork."""


@pytest.fixture
def without_processes(node, tmp_path, monkeypatch):
    """Calls a helper that cannot fork; the status and the body of what it answers."""

    def fork():
        raise NeedsAProcessError

    monkeypatch.setattr(os, "fork", fork)
    with helper.Helper(tmp_path / "helper", node, "nobody", 8006) as made:

        def ask(key, **given):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.sendall(wire.encode({"verb": wire.CALL, **call(node, key, **given)}))
                made.process_request(theirs, "")
                return wire.answered(ours.makefile("rb").read())

        yield ask


def test_what_is_asked_all_the_time_needs_no_process(without_processes):
    """Whoever waits for a task asks once a second; other calls may take their time beside it."""
    tasks = "/nodes/{node}/tasks"
    for path in (tasks, f"{tasks}/{{upid}}/status", "/cluster/tasks", "/version"):
        status, body = without_processes(("GET", path))
        assert status == 200, path
        assert json.loads(body)["data"]
    for key in (("GET", "/nodes/{node}/qemu"), ("PUT", "/nodes/{node}/config")):
        with pytest.raises(NeedsAProcessError):
            without_processes(key)
    for given in ({"grep": "x"}, {"userfilter": "x"}):  # it reads every log, every task
        with pytest.raises(NeedsAProcessError):
            without_processes(("GET", tasks), **given)
    with pytest.raises(NeedsAProcessError):  # his own, which may be few among many
        without_processes(("GET", tasks), user=NOBODY)


def test_a_call_that_is_asked_again_looks_nothing_up_again(node):
    """Commands and their options are found once, however many ask."""
    endpoint = TABLE["GET", "/nodes/{node}/tasks"]
    assert endpoint.run._params() is endpoint.run._params()


WRONG = {"integer": "many", "boolean": "perhaps", "number": "many"}


def wrong_values():
    """Each parameter of each endpoint that can be wrong by itself, with a value that is."""
    for key, endpoint in sorted(TABLE.items()):
        for name, schema in endpoint.parameters.items():
            value = WRONG.get(schema.get("type", "string")) or ("\0" if "enum" in schema else None)
            if value and f"{{{name}}}" not in endpoint.path:
                yield key, name.replace("[n]", "0"), value


def test_a_value_of_another_type_is_named(node):
    found = list(wrong_values())
    assert len(found) > 100
    for key, name, value in found:
        refused = asked(node, key, **{name: value})
        assert (refused.status, name in refused.errors) == (400, True), (key, name)

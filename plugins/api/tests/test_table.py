"""The table against the published schema and against the commands behind it."""

import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw_api import table
from pvefw_api.calls import Command
from pvefw_api.errors import ApiError
from pvefw_api.schema import check, published

TABLE = table.table()
COMMANDS = {key: endpoint for key, endpoint in TABLE.items() if isinstance(endpoint.run, Command)}


def ids(key):
    return " ".join(key)


def test_every_published_endpoint_is_in_the_table():
    beyond = "/nodes/{node}/pvefw"
    ours = {key for key, endpoint in TABLE.items() if not endpoint.path.startswith(beyond)}
    folders = {("GET", path) for path in ("/", "/cluster", "/cluster/ha", "/cluster/ha/status",
                                        "/nodes/{node}")}  # fmt: skip
    assert ours - folders == {tuple(endpoint_.split(" ")) for endpoint_ in published()}


@pytest.mark.parametrize("key", sorted(COMMANDS), ids=ids)
def test_a_command_takes_what_its_endpoint_takes(key):
    """Names must match: a parameter that the command does not have would be refused by it."""
    endpoint = COMMANDS[key]
    takes = {*endpoint.run._params(), "node"}
    numbered = {parameter for parameter in endpoint.parameters if parameter.endswith("[n]")}
    assert set(endpoint.parameters) - numbered <= takes
    assert set(endpoint.run.fixed) <= takes


@pytest.mark.parametrize("key", sorted(COMMANDS), ids=ids)
def test_what_a_command_needs_is_a_parameter(key):
    endpoint = COMMANDS[key]
    needed = {name for name, parameter in endpoint.run._params().items() if parameter.required}
    given_always = {
        name for name, parameter in endpoint.parameters.items() if not parameter.get("optional")
    }
    assert needed <= given_always


@pytest.mark.parametrize("key", sorted(COMMANDS), ids=ids)
def test_a_command_is_typed_as_the_table_says(key):
    """What the page shows as the command that does the same."""
    run = COMMANDS[key].run
    for name, word in run.words().items():
        param = run._params()[name]
        typed = word.rstrip("=").split("/")
        if isinstance(param, click.Argument):
            assert word == ""
            continue
        assert typed[0] in param.opts
        assert typed[1:] == param.secondary_opts
        assert word.endswith("=") != param.is_flag


NAMES_A_FILE = {"COMMAND", "PROGRAM", "FILE", "DIR"}


def names_a_file(key):
    """The parameters by which somebody who is not root would name a program or a file of the host."""
    endpoint = COMMANDS[key]
    for name, param in endpoint.run._params().items():
        words = {*(param.metavar or "").split("|")}
        file = words & NAMES_A_FILE or isinstance(param.type, click.Path)
        if file and name in endpoint.parameters and not endpoint.is_beyond({name: "x"}):
            yield name


@pytest.mark.parametrize("key", sorted(COMMANDS), ids=ids)
def test_programs_and_files_are_named_by_root_only(key):
    """With ``status --hosts FILE --rsh COMMAND``, whoever may only look was root."""
    if COMMANDS[key].permission != "root":
        assert {*names_a_file(key)} <= {"data"}, "its text comes with the call"


@pytest.mark.parametrize("key", [key for key in sorted(COMMANDS) if key[0] == "GET"], ids=ids)
def test_a_get_changes_nothing_and_ends(key):
    assert not {"acknowledge", "watch", "follow"} & {*COMMANDS[key].parameters}


def test_accounts_are_roots_wherever_they_are_changed():
    """As docs/api.md says, and the published schema of those that it has."""
    changes = [key for key in sorted(TABLE) if "/acme/account" in key[1] and key[0] != "GET"]
    assert len(changes) > 3
    assert {TABLE[key].permission for key in changes} == {"root"}


def test_what_is_no_parameter_is_named_whoever_gives_it():
    """It is not root's: the answer to others was that they are not root."""
    tasks = TABLE["GET", "/nodes/{node}/tasks"]
    assert not tasks.is_beyond({"surprise": "1"})
    assert tasks.is_beyond({"grep": "x"})


def test_the_command_of_a_plan_changes_nothing():
    plans = {key: command for key, command in COMMANDS.items() if "/plan/" in command.path}
    assert plans
    assert all(plan.as_dict()["command"].endswith("all --dry-run") for plan in plans.values())


def test_the_table_has_texts_for_forms():
    """The published schema has none; the commands' options do."""
    config = TABLE["PUT", "/nodes/{node}/config"].parameters
    assert "RAM usage" in config["ballooning-target"]["description"]
    assert config["ballooning-target"]["maximum"] == 100


@pytest.mark.parametrize("key", sorted(TABLE), ids=ids)
def test_a_path_is_found_again(key):
    endpoint = TABLE[key]
    method, path = key
    concrete = path.replace("{", "").replace("}", "")
    found, named = table.find(method, concrete)
    assert found is endpoint
    assert set(named) <= set(endpoint.parameters)
    assert all(not endpoint.parameters[name].get("optional") for name in named)
    json.dumps([endpoint.parameters, endpoint.returns, endpoint.permission])


def test_a_word_that_is_written_out_wins_and_escapes_are_undone():
    assert table.find("GET", "/nodes/a/tasks/UPID%3Aa/log")[1]["upid"] == "UPID:a"
    assert table.find("GET", "cluster//acme/tos/")[0].path == "/cluster/acme/tos"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("PUT", "/version"), ("GET", "/nodes/a/b/c/d/e")]
)
def test_a_path_that_is_not_in_it_is_not_implemented(method, path):
    with pytest.raises(ApiError) as refused:
        table.find(method, path)
    assert refused.value.status == 501
    assert refused.value.errors


# --- parameters -----------------------------------------------------------------------------------

KEYS = sorted(
    {key for endpoint in TABLE.values() for key in endpoint.parameters} | {"acmedomain7", "x"}
)
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.sampled_from(["1", "no", "100,101", "a@b.example", "dns", "mac=x,y=z", "nan", "٣", "1_0"]),
)


@given(key=st.sampled_from(sorted(TABLE)), given_=st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_parameters_are_checked_or_refused_by_name(key, given_):
    properties = TABLE[key].parameters
    try:
        values = check(properties, given_)
    except ApiError as error:
        assert error.status == 400
        body = error.as_dict()
        assert body["errors"]
        assert set(body["errors"]) <= {*given_, *properties}
        return
    assert set(values) == set(given_)
    again = check(properties, values)
    assert again == values


TEXTS_OF = {
    "email-list": "a@b.example",
    "pem-certificate-chain": "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----",
    "pem-string": "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----",
    "pve-vmid": "100",
    "pve-vmid-list": "100,101",
}


def fitting(schema):
    """Values that a property takes, as clients send them."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"]).map(str)
    if schema.get("type") == "boolean":
        return st.sampled_from(["0", "1", "on", "no"])
    limits = [float(schema[bound]) if bound in schema else None for bound in ("minimum", "maximum")]
    if schema.get("type") == "integer":
        return st.integers(*(None if bound is None else int(bound) for bound in limits)).map(str)
    if schema.get("type") == "number":
        return st.floats(*limits, allow_nan=False, allow_infinity=False).map(str)
    if "pattern" in schema:
        longest = schema.get("maxLength", 1 << 16)
        texts = st.from_regex(schema["pattern"], fullmatch=True)
        return texts.filter(lambda text: len(text) <= longest)
    if isinstance(schema.get("format"), dict):
        return property_strings(schema["format"])
    text = TEXTS_OF.get(schema.get("format"), "a1")
    return st.just(text[: schema.get("maxLength", len(text))])


def property_strings(form):
    """``KEY=VALUE,…``; a value has no comma of its own."""
    named = {key: schema for key, schema in form.items() if "alias" not in schema}
    parts = {
        key: fitting(schema).filter(lambda text: not {*',="'} & {*text})
        for key, schema in named.items()
    }
    needed = {key: schema for key, schema in parts.items() if not named[key].get("optional")}
    rest = {key: schema for key, schema in parts.items() if key not in needed}
    both = st.fixed_dictionaries(needed, optional=rest).filter(bool)
    return both.map(lambda found: ",".join(f"{key}={value}" for key, value in found.items()))


@given(data=st.data(), key=st.sampled_from(sorted(TABLE)))
def test_what_fits_the_schema_is_taken(data, key):
    """All that is needed, and any of the rest with what it requires."""
    known = TABLE[key].parameters
    values = {name.replace("[n]", "3"): (schema, fitting(schema)) for name, schema in known.items()}
    needed = {key: value for key, (schema, value) in values.items() if not schema.get("optional")}
    rest = {key: value for key, (_, value) in values.items() if key not in needed}
    chosen = data.draw(st.fixed_dictionaries(needed, optional=rest))
    for name in list(chosen):
        required = values[name][0].get("requires")
        if required:
            chosen.setdefault(required, data.draw(values[required][1]))
    assert set(check(known, chosen)) == set(chosen)


@pytest.mark.parametrize(
    ("key", "given_", "wrong"),
    [
        ("GET /nodes/{node}/tasks", {"limit": "-1"}, {"limit"}),
        ("GET /nodes/{node}/tasks", {"limit": "many", "source": "old"}, {"limit", "source"}),
        ("GET /nodes/{node}/tasks", {"vmid": "99"}, {"vmid"}),
        ("GET /nodes/{node}/tasks", {"since": "1_000"}, {"since"}),
        ("GET /nodes/{node}/tasks", {"errors": "perhaps"}, {"errors"}),
        ("POST /nodes/{node}/startall", {"vms": "100,abc"}, {"vms"}),
        ("POST /cluster/acme/account", {}, {"contact"}),
        ("POST /cluster/acme/account", {"contact": "nobody"}, {"contact"}),
        ("POST /cluster/acme/account", {"contact": "a@b.c", "directory": "ftp://x"}, {"directory"}),
        ("POST /cluster/acme/account", {"contact": "a@b.c", "eab-kid": "k"}, {"eab-hmac-key"}),
        ("PUT /nodes/{node}/config", {"acmedomainx": "a.example"}, {"acmedomainx"}),
        ("PUT /cluster/options", {"ha": "shutdown_policy=never"}, {"ha"}),
        ("PUT /cluster/options", {"migration": "secure,speed=1"}, {"migration"}),
        ("POST /nodes/{node}/certificates/custom", {"certificates": "nonsense"}, {"certificates"}),
    ],
)
def test_what_is_wrong_is_named(key, given_, wrong):
    method, _, path = key.partition(" ")
    node = {"node": "pve1"} if "{node}" in path else {}
    with pytest.raises(ApiError) as refused:
        check(TABLE[method, path].parameters, {**given_, **node})
    assert set(refused.value.errors) == wrong


def test_values_become_their_types():
    properties = TABLE["GET", "/nodes/{node}/tasks"].parameters
    given_ = {"limit": "5", "errors": "1", "source": "all", "node": "pve1"}
    assert check(properties, given_) == {
        "limit": 5,
        "errors": True,
        "source": "all",
        "node": "pve1",
    }
    config = TABLE["PUT", "/nodes/{node}/config"].parameters
    assert check(config, {"acmedomain5": "a.example", "node": "pve1"})

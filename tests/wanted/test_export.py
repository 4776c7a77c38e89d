"""Export, apply elsewhere, export again: equal, whatever a node has."""

import shutil

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask
from pvefw.wanted import apply, changes, document
from pvefw.wanted.kind import Context

IDS = st.sampled_from(["a", "b-1", "C_2"])
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1
)
LINES = TEXTS.map(str.strip).filter(bool)
NODES = st.sampled_from([["pve1"], ["pve1", "pve2"]])
REFERENCES = LINES.map(lambda text: f"file:/{text}")


def some(required=None, **optional):
    """A record: what is required, and some of the rest."""
    return st.fixed_dictionaries(required or {}, optional=optional)


def instances(kind, data, **more):
    common = {"nodes": NODES, "disable": st.just(True), **more}
    required = {**{key: st.just(value) for key, value in kind.items()}, "data": data}
    return st.dictionaries(IDS, some(required, **common), min_size=1)


SERVER = {"server": st.just("192.0.2.1")}
RFC2136 = st.one_of(
    some(SERVER, timeout=st.just("5")),
    some({**SERVER, "key_name": LINES, "secret": REFERENCES}),
)
CERTIFICATE = some(
    **{
        "acmedomain3": st.sampled_from(["a.example", "domain=b.example,alias=c.example"]),
        "key-type": st.sampled_from(["ec384", "rsa2048"]),
        "preferred-chain": LINES,
        "reload-command": st.just("systemctl reload nginx"),
        "renew-before": st.integers(1, 365).map(str),
    }
)
STATES = some(
    plugins=instances(
        {"type": "dns", "api": "rfc2136"},
        RFC2136,
        **{"validation-delay": st.integers(0, 172800).filter(lambda integer: integer != 30)},
    ),
    observers=instances({"api": "exec"}, some({"program": LINES.map(lambda text: f"/{text}")})),
    backends=st.just({"kvm": {"api": "libvirt", "data": {"uri": "test:///x"}, "disable": True}}),
    properties=st.tuples(
        CERTIFICATE,
        some(
            {"location": st.just("latitude=1,longitude=2")},
            description=st.lists(LINES, min_size=1).map("\n".join),
            wakeonlan=st.just("52:54:00:12:34:56"),
        ),
    ).map(lambda both: {**both[0], **both[1]}),
    certificates=st.dictionaries(
        IDS.map(lambda id_: f"web{id_}"),
        st.tuples(CERTIFICATE, some(nodes=NODES, disable=st.just(True))).map(
            lambda both: {**both[0], **both[1]}
        ),
        min_size=1,
    ),
    boot=some({"cmdline": st.just('root=/dev/sda1 dyndbg="file a +p"')}),
)


def bring_about(context, state, **options):
    """Apply a state, by way of its text; what had to be changed."""
    read = document.read(document.text(state).encode(), "d.yaml")
    found = changes.compare(context, read, prune=options.get("prune", False), here=True)
    apply.rehearse(context, found)
    apply.carry_out(context, apply.Outcome(found), [])
    return found


def machine():
    raise AssertionError("no disk is needed")


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # files are slow: nothing is shrunk
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STATES)
def test_an_export_makes_another_node_the_same(tmp_path, state):
    here, there = (Context(Paths(tmp_path / name, "pve1"), FakeTask(), machine) for name in "ab")
    for host in (here, there):
        shutil.rmtree(host.paths.root, ignore_errors=True)
        host.paths.root.mkdir()
    bring_about(here, state)
    exported = changes.export(here, here=True)
    assert exported == document.read(document.text(state).encode(), "d.yaml").state
    assert bring_about(here, exported, prune=True) == []
    bring_about(there, exported)
    assert changes.export(there, here=True) == exported
    assert here.left_out == there.left_out == []

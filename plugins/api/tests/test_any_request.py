"""Requests of every kind to every endpoint, writes included, on a tree that is thrown away.

What is made from an endpoint's own schema is answered as its schema says, is a task for the door to run,
or is refused with words. Whatever else happens would be a status of 500 without any.
"""

import base64
from urllib.parse import quote

import certificates
import full_node
import pytest
from api_schema import assert_fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.store.paths import Paths
from pvefw_api import call, table
from pvefw_api.calls import Job
from pvefw_api.errors import ApiError

LEAVE_THIS_TREE = (
    "/cluster/acme/meta",
    "/cluster/acme/tos",
    "/wakeonlan",
    "/served",
    "/dns/test",
    "/doctor",
    "/timer",
    "/boot/",
    "/challenge-schema",
    "/endpoints",
    "/nodes/{node}/status",
    "/pvefw/status",
)
"""They ask servers, send packets, look at the disks of this host, or take long; others test them."""
REGISTER = ("POST", "/cluster/acme/account")
"""It asks the authority for its terms before it is a task."""
ASKED = sorted(
    key
    for key in table.table()
    if key != REGISTER and not any(word in key[1] for word in LEAVE_THIS_TREE)
)
NAMED = {"node": "pve1", "name": "default", "id": "mine", "vmid": "100", "upid": full_node.UPID}
PEM, KEY = (pem.decode() for pem in certificates.self_signed())
WORDS = [
    "",
    "0",
    "1",
    "default",
    "mine",
    "tell",
    "exec",
    "dns",
    "a.example",
    "pve1",
    "100",
    "order=1",
]
TEXTS = st.one_of(
    st.sampled_from(
        [*WORDS, "domain=a.example,plugin=mine", "account=default", "acme,acmedomain0"]
    ),
    st.sampled_from([PEM, KEY, base64.b64encode(b"program=/bin/true\n").decode(), "a@b.example"]),
    st.text(max_size=12),
)


def values(schema):
    """Values of a property: mostly those that its schema allows."""
    fits = TEXTS
    if "enum" in schema:
        fits = st.sampled_from([str(word) for word in schema["enum"]])
    elif schema.get("type") == "boolean":
        fits = st.sampled_from("01")
    elif schema.get("type") in ("integer", "number"):
        low, high = (int(float(schema.get(key, n))) for key, n in (("minimum", 0), ("maximum", 9)))
        fits = st.integers(low, max(low, high)).map(str)
    return st.one_of(fits, fits, fits, TEXTS)


@st.composite
def requests(draw):
    """An endpoint, the words of its path, and parameters: those that it needs, and some others."""
    method, path = draw(st.sampled_from(ASKED))
    endpoint = table.table()[method, path]
    chosen = {}
    for key, schema in endpoint.parameters.items():
        if f"{{{key}}}" in path:
            word = NAMED.get(key, "mine") if draw(st.integers(0, 7)) else draw(TEXTS)
            path = path.replace(f"{{{key}}}", quote(word, safe="") or "x")
        elif not schema.get("optional") or (key != "digest" and not draw(st.integers(0, 2))):
            chosen[key.replace("[n]", "0")] = draw(values(schema))
    return method, path, chosen


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    paths = Paths(tmp_path_factory.mktemp("any") / "root", "pve1")
    full_node.fill(paths)
    return paths


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(request=requests())
def test_a_request_made_from_the_schema_is_answered_by_it(tree, request):
    method, path, chosen = request
    try:
        endpoint, _ = table.find(method, path)
        answer = call.call(tree, method, path, chosen)
    except ApiError as error:
        assert error.message
        assert error.errors
        assert error.status in (400, 500, 501)
        return
    if not isinstance(answer, Job):
        assert_fits(endpoint, answer)

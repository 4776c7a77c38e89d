"""What endpoints answer, against the schema of each, and what they refuse."""

import base64
from urllib.parse import quote

import certificates
import pytest
from api_schema import assert_fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.instances import instance_binding
from pvefw.store.node import Node
from pvefw_api import call, table
from pvefw_api.calls import Job
from pvefw_api.errors import ApiError

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"
NAMED = {
    "node": "pve1",
    "name": "default",
    "id": "mine",
    "upid": UPID,
}
NEED_SERVERS = {"/cluster/acme/meta", "/cluster/acme/tos"}
NEED_HOSTS = ("/guests", "{vmid}", "/served", "/plan/", "/boot/status", "/boot/loader", "/instances/",
              "/plugins/{", "/doctor")  # fmt: skip
READ = sorted(
    path
    for method, path in table.table()
    if method == "GET" and path not in NEED_SERVERS and not any(host in path for host in NEED_HOSTS)
)


def get(paths, path, **given):
    return call.call(paths, "GET", path, given)


@pytest.mark.parametrize("path", READ)
def test_every_answer_fits_its_schema(paths, path):
    concrete = path
    for key, value in NAMED.items():
        concrete = concrete.replace(f"{{{key}}}", value)
    answer = get(paths, concrete)
    assert answer not in (None, {})
    assert_fits(table.find("GET", concrete)[0], answer)


def test_instances_of_every_family_are_beyond_the_published_part(paths):
    base = "/nodes/pve1/pvefw/instances/observer"
    for path in (base, f"{base}/tell"):
        assert_fits(table.find("GET", path)[0], get(paths, path))
    data = base64.b64encode(b"program=/bin/true\n").decode()
    assert call.call(paths, "POST", base, {"id": "more", "api": "exec", "data": data}) is None
    assert get(paths, f"{base}/more")["data"] == {"program": "/bin/true"}
    call.call(paths, "PUT", f"{base}/more", {"disable": "1"})
    assert get(paths, f"{base}/more")["disable"] is True
    call.call(paths, "DELETE", f"{base}/more", {})
    assert [instance["id"] for instance in get(paths, base)] == ["tell"]


def test_types_are_those_of_the_api(paths):
    assert get(paths, "/nodes/localhost/config")["ballooning-target"] == 70
    [row] = get(paths, "/cluster/acme/plugins", type="standalone")[:1]
    plugins = {plugin["plugin"]: plugin for plugin in get(paths, "/cluster/acme/plugins")}
    assert plugins["mine"]["disable"] == 1
    assert "disable" not in plugins["standalone"]
    assert row["type"] == "standalone"


def test_options_of_the_datacenter(paths):
    before = get(paths, "/cluster/options")
    assert before == {"keyboard": "de", "max_workers": 4}
    change = {"max_workers": "8", "migration": "secure", "delete": "keyboard,console"}
    call.call(paths, "PUT", "/cluster/options", change)
    assert paths.datacenter_cfg.read_text() == "max_workers: 8\nmigration: secure\n"
    call.call(paths, "PUT", "/cluster/options", {"description": "rack: 12"})
    assert get(paths, "/cluster/options")["description"] == "rack: 12\n"


@pytest.mark.parametrize("key", ["email_from", "mac_prefix", "u2f", "migration"])
@pytest.mark.parametrize("value", ["{}\nmax_workers: 1", "{}\rx: y", "{}\u2028x: y", " "])
def test_an_option_of_the_datacenter_is_one_line(paths, key, value):
    """Another line would be another option, which nobody has checked."""
    good = {"email_from": "a@b.example", "mac_prefix": "BC:24", "u2f": "appid=x",
            "migration": "secure,network=192.0.2.0/24"}  # fmt: skip
    before = paths.datacenter_cfg.read_bytes()
    with pytest.raises(ApiError) as refused:
        call.call(paths, "PUT", "/cluster/options", {key: value.format(good[key])})
    assert refused.value.status == 400
    assert paths.datacenter_cfg.read_bytes() == before


def test_a_log_has_numbers_and_an_end(paths):
    log = f"/nodes/pve1/tasks/{UPID}/log"
    assert get(paths, log, start=1, limit=1) == [{"n": 2, "t": "two"}]
    assert get(paths, log, start=3) == []
    (paths.task_dir / "9" / UPID).write_text("")
    assert get(paths, log) == [{"n": 1, "t": "no content"}]


@pytest.mark.parametrize("given", [{"start": 10**25}, {"start": 2**63}, {"limit": 10**25}])
def test_more_lines_than_there_can_be_are_no_fault(paths, given):
    log = get(paths, f"/nodes/pve1/tasks/{UPID}/log", **given)
    assert [line["n"] for line in log] == ([] if "start" in given else [1, 2, 3])


def test_a_certificate_is_uploaded_and_removed(paths):
    pem, key = certificates.self_signed()
    custom = "/nodes/pve1/certificates/custom"
    pair = {"certificates": pem.decode(), "key": key.decode()}
    with pytest.raises(ApiError) as refused:
        call.call(paths, "POST", custom, pair)
    assert "--force" in refused.value.hint
    answer = call.call(paths, "POST", custom, {**pair, "force": "1"})
    assert_fits(table.find("POST", custom)[0], answer)
    assert answer["filename"] == "pveproxy-ssl.pem"
    assert paths.proxy_key.read_bytes().split() == key.split()
    assert call.call(paths, "DELETE", custom, {}) is None
    assert not paths.proxy_certificate.exists()


def test_a_named_certificate_is_uploaded(paths):
    paths.cluster_pvefw_cfg.write_text("certificate: web\n\tacmedomain0 web.example\n")
    (pem, key), before = certificates.self_signed(), paths.proxy_key.read_bytes()
    pair = "/nodes/pve1/pvefw/certificates/web/pair"
    given = {"certificates": pem.decode(), "key": key.decode()}
    assert_fits(table.find("POST", pair)[0], call.call(paths, "POST", pair, given))
    assert paths.certificate_files("web").key.read_bytes().split() == key.split()
    assert paths.proxy_key.read_bytes() == before, "nobody else's was touched"
    [task] = get(paths, "/nodes/pve1/tasks", typefilter="certset")
    assert task["id"] == "web"
    with pytest.raises(ApiError) as refused:
        call.call(paths, "POST", pair.replace("web", "gone"), given)
    assert "gone" in refused.value.message


def test_what_takes_time_is_handed_to_the_door(paths):
    job = call.call(paths, "POST", "/nodes/pve1/certificates/acme/certificate", {"force": "1"})
    assert isinstance(job, Job)
    assert job.type == "acmenewcert"


def test_a_power_off_is_not_for_another_tree(paths):
    with pytest.raises(ApiError) as refused:
        call.call(paths, "POST", "/nodes/pve1/status", {"command": "reboot"})
    assert "command" in refused.value.errors


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "said"),
    [
        ("GET", "/cluster/acme/account/gone", {}, 500,
         "ACME account config file 'gone' does not exist."),
        ("GET", "/cluster/acme/plugins/gone", {}, 500, "ACME plugin 'gone' not defined"),
        ("PUT", "/cluster/acme/plugins/gone", {"disable": "1"}, 500, "not defined"),
        ("DELETE", "/cluster/acme/plugins/gone", {}, 500, "not defined"),
        ("DELETE", "/nodes/pve1/pvefw/instances/observer/gone", {}, 500, "not found"),
        ("GET", "/nodes/pve9/config", {}, 500, "no such"),
        ("GET", "/nodes/pve2/config", {}, 500, "this is node pve1"),
        ("GET", "/nodes/pve1/tasks/UPID:x/status", {}, 400, "UPID"),
        ("PUT", "/nodes/pve1/config", {"acmedomain0": "-"}, 400, "acmedomain0"),
        ("PUT", "/nodes/pve1/config", {"digest": "0", "description": "x"}, 500, "digest"),
        ("GET", "/nodes/pve1/config", {"node": "pve1"}, 400, "path"),
        ("POST", "/cluster/acme/plugins", {"id": "a2", "type": "dns", "api": "ovh", "data": "%"},
         400, "base64"),
        ("POST", "/nodes/pve1/migrateall", {"target": "pve1"}, 400, "this node"),
    ],
)  # fmt: skip
def test_refusals_have_their_status_and_their_words(paths, method, path, given, status, said):
    with pytest.raises(ApiError) as refused:
        call.call(paths, method, path, given)
    assert refused.value.status == status
    assert said in f"{refused.value.message} {refused.value.errors}"
    assert refused.value.errors


def test_ls_goes_on_below_lists(paths):
    assert {child["name"]: child["capabilities"] for child in call.listing(paths, "/nodes")} == {
        "pve1": "Dr---",
        "pve2": "Dr---",
    }
    [task] = call.listing(paths, "/nodes/pve1/tasks")
    assert task == {"name": UPID, "capabilities": "Dr--d"}
    names = [child["name"] for child in call.listing(paths, "/nodes/pve1/pvefw/instances/observer")]
    assert names == ["tell"]


SLOW = {"/cluster/acme/challenge-schema", "/nodes/{node}/status", "/nodes/{node}/pvefw/status",
        "/nodes/{node}/pvefw/endpoints"}  # fmt: skip
QUICK = [path for path in READ if path not in SLOW]
TEXTS = st.one_of(st.text(max_size=8), st.integers().map(str), st.sampled_from(["all", "1", "dns"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), path=st.sampled_from(QUICK))
def test_whatever_is_asked_is_answered_or_refused(paths, data, path):
    """Paths and parameters of any kind: an answer that fits, or an error with words; nothing else."""
    for key, value in NAMED.items():
        text = data.draw(st.one_of(st.just(value), st.text(max_size=8)))
        path = path.replace(f"{{{key}}}", quote(text, safe="") or "x")
    try:
        endpoint, _ = table.find("GET", path)
    except ApiError:
        return
    keys = [
        parameter for parameter in endpoint.parameters if f"{{{parameter}}}" not in endpoint.path
    ]
    chosen = st.dictionaries(st.sampled_from(keys), TEXTS, max_size=3) if keys else st.just({})
    try:
        answer = get(paths, path, **data.draw(chosen))
    except ApiError as error:
        assert error.errors
        assert error.message
    else:
        assert_fits(endpoint, answer)


def test_every_provider_is_offered_with_its_settings(paths):
    found = {provider["id"]: provider for provider in get(paths, "/cluster/acme/challenge-schema")}
    assert set(found) == {*instance_binding.names(Node.open(paths)), "standalone"}
    declared = [
        setting.key for setting in instance_binding.declared(Node.open(paths), "dns", "ovh")
    ]
    assert list(found["ovh"]["schema"]["fields"]) == declared


def test_settings_of_a_plugin_can_be_asked_for(paths):
    path = "/nodes/pve1/pvefw/plugins/dns/ovh"
    assert_fits(table.find("GET", path)[0], get(paths, path))

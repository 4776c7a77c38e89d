"""What the service refuses, whoever asks, and what a front in foreign hands could do."""

import base64
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from full_node import UPID
from privileges import only_root

from pvefw.core.masking import MASK
from pvefw_api import table
from pvefw_api_server import answering, permissions, users, wire

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
AUDITOR, OPERATOR = "monitor@pve", "operator@pve"
CHANGE = ("PUT", "/nodes/pve1/config")


def words(answer):
    found = answer.json()
    assert found["data"] is None
    assert found["errors"], "clients read nothing else"
    return found["message"]


def settings(text):
    """As a call has them."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def config(service):
    return service.paths.node_config().read_bytes()


# --- who calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/version", "/nodes/pve1/tasks", "/nowhere", "/access/ticket"])
def test_without_a_ticket_nothing_is_answered(service, path):
    assert service.call("GET", path).status_code == 401


def test_a_ticket_ends(service):
    for age, status in ((7000, 200), (7300, 401), (-7000, 401)):
        ticket, _ = service.ticket("root@pam", age=age)
        answer = service.call("GET", "/version", headers={"Cookie": f"PVEAuthCookie={ticket}"})
        assert answer.status_code == status, age


@pytest.mark.parametrize(
    "change",
    [
        lambda ticket: ticket.replace("admin@pam", "root@pam"),
        lambda ticket: ticket[:-4] + "AAA=",
        lambda ticket: ticket.rpartition("::")[0] + "::",
        lambda ticket: ticket.replace("PVE:", "PVE:root@pam:"),
        lambda _: "x" * 5000,
        lambda _: "",
    ],
)
def test_a_ticket_cannot_be_made(service, change):
    ticket, _ = service.ticket("admin@pam")
    cookie = {"Cookie": f"PVEAuthCookie={change(ticket)}"}
    assert service.call("GET", "/version", headers=cookie).status_code == 401


def test_tokens_are_refused_when_they_have_ended_or_are_wrong(service, token):
    good = token("admin@pam")
    assert service.call("GET", "/version", as_=good).status_code == 200
    wrong = [good[:-1] + ("0" if good[-1] != "0" else "1"), good.replace("admin", "root"), "a!b=c",
             token("admin@pam", expires=1), good.partition("=")[0] + "="]  # fmt: skip
    assert {service.call("GET", "/version", as_=bad).status_code for bad in wrong} == {401}


def test_a_user_that_is_removed_or_disabled_is_out_at_once(service, token):
    words_ = token(AUDITOR)
    with users.changing(service.paths) as found:
        before = found[AUDITOR]
        found[AUDITOR] = users.User(AUDITOR, before.grants, False, before.tokens)
    assert service.call("GET", "/version", as_=words_).status_code == 401
    with users.changing(service.paths) as found:
        found[AUDITOR] = before
    assert service.call("GET", "/version", as_=words_).status_code == 200
    assert service.call("GET", "/version", as_="stranger@pam").status_code == 401


def test_another_page_cannot_use_our_cookie(service):
    """Without the token, with one of another user, or with an old one, nothing is changed."""
    before, change = config(service), {"description": "from elsewhere"}
    ticket, _ = service.ticket("root@pam")
    _, of_other = service.ticket("admin@pam")
    _, old = service.ticket("root@pam", age=8000)
    for against in ("", of_other, old, "65A1B2C3:AAAA"):
        headers = {"Cookie": f"PVEAuthCookie={ticket}", "CSRFPreventionToken": against}
        answer = service.call(*CHANGE, headers=headers, data=change)
        assert answer.status_code == 401
        assert "csrf" in words(answer)
    assert config(service) == before
    assert service.call(*CHANGE, as_="root@pam", data=change).status_code == 200


def test_the_pages_cookie_wins_over_one_that_was_planted(service):
    """No other host of the domain can set the cookie of the page; scripts cannot read it."""
    ticket, _ = service.ticket("root@pam")
    given = {"username": "root@pam", "password": ticket, "http-only": "1"}
    elsewhere = service.call("POST", "/access/ticket", data=given)
    assert "set-cookie" not in elsewhere.headers, "another page's form would log us in as somebody"
    ours = {"CSRFPreventionToken": ""}
    answer = service.call("POST", "/access/ticket", data=given, headers=ours)
    assert "ticket" not in answer.json()["data"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-PVEAuthCookie=PVE%3Aroot%40pam%3A")
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    planted, _ = service.ticket("admin@pam")
    assert planted not in cookie
    both = f"PVEAuthCookie={planted}; {cookie.partition(';')[0]}"
    roots = ("GET", "/cluster/acme/account/default")
    assert service.call(*roots, headers={"Cookie": both}).status_code == 200
    alone = service.call(*roots, headers={"Cookie": f"PVEAuthCookie={planted}"})
    assert alone.status_code == 403, "a login gives nothing to the session that was there before"


# --- what each may ----------------------------------------------------------------------------------


def test_who_may_nothing_sees_nothing_of_others(service, token):
    """What is everybody's is shown, but neither others' tasks nor guests."""
    alone = token(OPERATOR)
    assert service.call("GET", "/nodes/pve1/tasks", as_=alone).json()["data"] == []
    assert service.call("GET", f"/nodes/pve1/tasks/{UPID}/log", as_=alone).status_code == 403
    assert service.call("GET", "/nodes/pve1/config", as_=alone).status_code == 403
    assert service.call("GET", "/nodes/pve1/pvefw/status", as_=alone).status_code == 403
    auditor = token(AUDITOR)
    assert service.call("GET", f"/nodes/pve1/tasks/{UPID}/log", as_=auditor).status_code == 200


def test_power_is_had_for_single_guests(service, token):
    operator = token(OPERATOR)
    start = ("POST", "/nodes/pve1/startall")
    for vms in ("", "101", "100,101"):
        assert service.call(*start, as_=operator, data={"vms": vms}).status_code == 403, vms
    for vms in (["100", "101"], ["101", "100"], []):
        assert service.call(*start, as_=operator, json={"vms": vms}).status_code in (403, 400), vms
    assert service.call(*start, as_=operator, data="vms=100&vms=101").status_code == 403
    answer = service.call(*start, as_=operator, data={"vms": "100"})
    assert answer.json()["data"].startswith("UPID:pve1:")
    moved = service.call(
        "POST", "/nodes/pve1/migrateall", as_=operator, data={"vms": "100", "target": "b"}
    )
    assert moved.status_code == 403


def test_a_token_may_no_more_than_its_user(service, token):
    wide = token(AUDITOR, limits={"/": ("Sys.Audit", "Sys.Modify")})
    narrow = token("admin@pam", limits={"/nodes": ("Sys.Audit",)})
    assert service.call(*CHANGE, as_=wide, data={"description": "x"}).status_code == 403
    assert service.call(*CHANGE, as_=narrow, data={"description": "x"}).status_code == 403
    assert service.call("GET", "/nodes/pve1/status", as_=narrow).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("PUT", "/nodes/pve1/config", {"reload-command": "touch /tmp/x"}),
        ("GET", "/cluster/acme/tos", {"ca-file": "/etc/shadow"}),
        ("POST", "/nodes/pve1/pvefw/instances/observer", {"id": "x", "api": "exec"}),
        ("PUT", "/nodes/pve1/pvefw/instances/observer/tell", {"data": "cHJvZ3JhbT0vYmluL3No"}),
        ("PUT", "/nodes/pve1/pvefw/boot/cmdline", {"text": "root=/dev/sda1 init=/tmp/x"}),
        ("PUT", "/cluster/acme/plugins/standalone", {"data": settings("port=cmd:/bin/id")}),
        ("PUT", "/cluster/acme/plugins/standalone", {"data": settings("webroot=/root/.ssh")}),
        ("POST", "/cluster/acme/plugins",
         {"id": "x", "type": "standalone", "data": settings("webroot=/root/.ssh")}),
        ("POST", "/cluster/acme/plugins",
         {"id": "x", "type": "dns", "api": "ovh", "data": settings("OVH_CA_FILE=/etc/shadow")}),
        ("POST", "/cluster/acme/account", {"contact": "a@b.example"}),
        ("POST", "/cluster/acme/plugins",
         {"id": "x", "type": "dns", "api": "exec", "data": "cHJvZ3JhbT0vYmluL3No"}),
        ("POST", "/cluster/acme/plugins",
         {"id": "x", "type": "dns", "api": "ovh", "data": "T1ZIX0FLPWNtZDovYmluL2lk"}),
        ("POST", "/cluster/acme/plugins",
         {"id": "x", "type": "dns", "api": "ovh", "data": "T1ZIX0FLPWZpbGU6L2V0Yy9zaGFkb3c="}),
    ],
)  # fmt: skip
def test_what_leads_to_programs_and_files_is_roots(service, token, method, path, given):
    """Whoever may change settings, and is not root, must not become root by that."""
    where = {"params": given} if method == "GET" else {"data": given}
    answer = service.call(method, path, as_=token("admin@pam"), **where)
    assert answer.status_code == 403
    assert "root@pam" in words(answer)


def test_a_reference_of_roots_is_sent_nowhere_else(service, token):
    """Who changes where a secret goes, and leaves it masked, would have it."""
    admin, path = token("admin@pam"), "/cluster/acme/plugins/kept"
    keys = "OVH_AK=file:/root/ak\nOVH_AS=file:/root/as\n"
    added = {"id": "kept", "type": "dns", "api": "ovh", "data": settings(keys)}
    assert service.call("POST", "/cluster/acme/plugins", as_="root@pam", data=added).ok
    elsewhere = f"OVH_AK={MASK}\nOVH_AS={MASK}\nOVH_END_POINT=https://198.51.100.1\n"
    for change in ({"data": settings(elsewhere)}, {"api": "exec"}):
        assert service.call("PUT", path, as_=admin, data=change).status_code == 403, change
    assert service.call("PUT", path, as_=admin, data={"disable": 1}).status_code == 200


def test_two_changes_at_once_make_nothing_together_that_is_roots(service):
    """What was looked at is what is changed: the plugin by one call, its settings by another."""
    endpoint, _ = table.find("PUT", "/cluster/acme/plugins/x")
    who = users.Identity("admin@pam", (users.grants(["/=Sys.Modify"]),))
    before = permissions.pinned(who, endpoint, {"api": "exec"}, service.paths)
    added = {"id": "twice", "type": "dns", "api": "ovh",
             "data": settings("OVH_AK=a\nOVH_AS=b\n")}  # fmt: skip
    assert service.call("POST", "/cluster/acme/plugins", as_="root@pam", data=added).ok
    change = ("PUT", "/cluster/acme/plugins/twice")
    late = service.call(*change, as_="admin@pam", data={**before, "disable": 1, "api": "ovh"})
    assert "digest" in words(late)
    assert service.call(*change, as_="admin@pam", data={"disable": 1}).ok


# --- paths, headers, bodies --------------------------------------------------------------------------


def raw(service, request):
    """Bytes as no library would send them, and all that comes back."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as plain,
        context.wrap_socket(plain) as tls,
    ):
        tls.sendall(request)
        return b"".join(iter(lambda: tls.recv(65536), b""))


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/static/..\\..\\etc\\passwd",
        "/index.html%00.js",
        "/api2/json/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_page(service, path):
    end = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = raw(service, b"GET " + path.encode() + end)
    assert b"root:" not in answer
    assert answer.split()[1] in (b"400", b"401", b"404"), answer[:200]


def test_a_path_of_the_api_stays_a_name(service):
    for path in ("/cluster/acme/account/..%2f..%2fpvefw-api.key", "/cluster/acme/account/%2e%2e"):
        answer = service.call("GET", path, as_="root@pam")
        assert answer.status_code == 400
        assert "name" in answer.json()["errors"]
    log = service.call("GET", "/nodes/pve1/tasks/..%2f..%2fetc/log", as_="root@pam")
    assert log.status_code == 400


@pytest.mark.parametrize("split", ["%0d%0aSet-Cookie:%20x=1", "%0aX-Evil:%201"])
def test_nothing_from_a_request_becomes_a_header(service, split):
    end = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for path in (f"/api2/json/{split}", f"/{split}", f"/api2/json/version?a={split}"):
        head = raw(service, b"GET " + path.encode() + end).partition(b"\r\n\r\n")[0].lower()
        assert b"evil" not in head
        assert b"x=1" not in head
    name = {"username": "root@pam\r\nX-Evil: 1", "password": "x", "http-only": 1}
    assert service.call("POST", "/access/ticket", data=name).status_code == 400


def test_every_answer_says_what_a_browser_may_do_with_it(service):
    for path in ("/", "/transport.js", "/nowhere", "/api2/json/version"):
        head = raw(service, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head = head.partition(b"\r\n\r\n")[0].lower()
        assert b"content-security-policy: default-src 'self'" in head
        assert b"x-content-type-options: nosniff" in head


@pytest.mark.parametrize(
    "options",
    [
        {"data": "a=1&a=2"},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        {"json": {"a": {"b": 1}}},
        {"json": {"description": ["a", "b"]}},
        {"json": {"description": [["a"]]}},
        {"data": "description=a&description=b"},
        {"params": {"description": "a"}, "data": "description=b"},
        {"data": b'{"a": "1", "a": "2"}', "headers": {"Content-Type": "application/json"}},
        {"data": b'{"a": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
        {"data": b"\xff\xfe=1"},
        {"data": b"a=" + b"x" * (1 << 20)},
        {"params": {"node": "pve1"}},
    ],
)
def test_a_body_that_cannot_be_read_is_refused(service, options):
    answer = service.call(*CHANGE, as_="root@pam", **options)
    assert answer.status_code == 400
    assert words(answer)


# --- the front in foreign hands ---------------------------------------------------------------------

ASK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.argv[2].encode() + b"\\n")
    print(connection.makefile().read())
"""


def as_front(service, said):
    """What the helper says to the front's user, whatever that sends."""
    command = [sys.executable, "-c", ASK, str(service.place), said]
    return subprocess.run(
        service.as_front(command), capture_output=True, text=True, check=False, cwd="/"
    )


@pytest.mark.parametrize(
    "said",
    [
        '{"method": "PUT", "path": "/nodes/pve1/config", "parameters": {"description": "x"}}',
        '{"verb": "call", "method": "GET", "path": "/version", "user": "root@pam"}',
        '{"verb": "call", "method": "GET", "path": "/version", "ticket": ["x"], "csrf": {}}',
        '{"verb": "exec", "method": "GET", "path": "/version"}',
        '{"method": 1, "path": null, "parameters": 7}',
        "{}",
        "[]",
        "[[[[",
    ],
)
def test_the_front_alone_may_nothing(service, said):
    """The helper looks at every ticket itself, and knows no other call than those of clients."""
    before = config(service)
    done = as_front(service, said)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("401", "400")
    assert config(service) == before


@pytest.mark.parametrize("key", ["password", "username", "\\ud800"])
def test_halves_of_characters_are_no_text(service, key):
    """No library of PAM takes them, nor does a file: it was a fault of the helper's."""
    parameters = {
        "username": "reader@pam",
        "password": "x",
        key.replace("\\ud800", "\ud800"): "\ud800",
    }
    said = {"verb": "call", "method": "POST", "path": "/access/ticket", "parameters": parameters}
    done = as_front(service, json.dumps(said))
    assert done.stdout.split()[0] == "400", done.stderr


def test_a_front_in_foreign_hands_may_what_its_user_may(service):
    """Whoever has taken it over has the ticket of each who logs in, and no more rights than these."""
    ticket, against = service.ticket("reader@pam")
    before, mine = config(service), {"ticket": ticket, "csrf": against, "verb": "call"}
    change = {**mine, "method": "PUT", "parameters": {"description": "x"}}

    def status(said):
        done = as_front(service, json.dumps(said))
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    assert status({**mine, "method": "GET", "path": "/nodes/pve1/config"}) == "200"
    for more in ({}, {"user": "root@pam"}, {"who": "root@pam", "username": "root@pam"},
                 {"client": "127.0.0.1", "peers": 1, "handed-on": "true"}):  # fmt: skip
        for path in ("/nodes/pve1/config", "/nodes/localhost//config/", "nodes/%70ve1/config"):
            assert status({**change, **more, "path": path}) == "403", (more, path)
    root = ticket.replace("reader@pam", "root@pam")
    assert status({**change, "path": "/nodes/pve1/config", "ticket": root}) == "401"
    elsewhere = {**mine, "method": "GET", "path": "/nodes/192.0.2.1/tasks"}
    assert status(elsewhere) in ("400", "500")
    assert config(service) == before


@only_root("is two users")
def test_the_front_reads_no_secret_and_ends_no_process_of_roots(service):
    """What its user can do on the host without the helper."""
    attempts = """
import os, sys
def refused(work):
    try:
        work()
    except PermissionError:
        return True
    return False
pid, *secrets = sys.argv[1:]
print([refused(lambda: open(one).read()) for one in secrets], refused(lambda: os.kill(int(pid), 9)),
      refused(lambda: open(f"/proc/{pid}/mem").read(1)))
"""
    paths = service.paths
    secrets = [paths.api_key, paths.api_users, paths.proxy_key]
    paths.proxy_key.chmod(0o600)  # as pvefw writes it
    words = [sys.executable, "-c", attempts, str(service.helper.pid), *map(str, secrets)]
    done = subprocess.run(
        service.as_front(words), capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.stdout.strip() == "[True, True, True] True True", done.stderr


@only_root("is two users")
def test_nobody_else_may_connect_and_the_front_has_no_rights(service):
    other = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--"]
    said = '{"method": "GET", "path": "/version"}'
    command = [*other, sys.executable, "-c", ASK, str(service.place), said]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == ""
    status = (service.paths.root.parent / "front.log").read_text()
    assert "root" not in status
    lines = Path(f"/proc/{service.front.pid}/status").read_text().splitlines()
    front = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert front["Uid"].split() == ["65534"] * 4
    assert int(front["CapEff"], 16) == 0


def test_the_journal_has_who_did_what_and_no_value(service):
    given = {"description": "a very private note"}
    service.call(*CHANGE, as_="root@pam", data=given)
    said = service.said.read_text()
    assert "root@pam 127.0.0.1 PUT /nodes/pve1/config [description] OK" in said
    assert "private note" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("path", ["/access/ticket", "/nodes/pve1/config", "/nowhere"])
def test_json_that_is_sent_as_a_form_is_not_in_the_journal(service, path):
    """curl's -d names no type but a form's: all of the body was the name of a parameter."""
    body = '{"username": "root@pam", "password": "pass-geheim"}'
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    given = {**form, "Authorization": "PVEAPIToken=a@pve!b=c"}
    service.call("POST", path, data=body, headers=given)
    said = service.said.read_text()
    assert f"POST {path} [?] " in said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/version?%0aroot@pam%20192.0.2.1%20PUT%20/forged"), ("POST", "/version?%E2%80%A8forged=1"),
     ("DELETE", "/nodes/pve1/tasks/x%0Aforged"), ("PUT", "/nodes/pve1/config?a%0Dforged=1")],
)  # fmt: skip
def test_nobody_writes_an_entry_of_his_own_into_the_journal(service, token, method, path):
    assert service.call(method, path, as_=token(AUDITOR)).status_code >= 400
    entries = service.said.read_text().splitlines()
    assert entries
    assert not [entry for entry in entries if entry.startswith(("root@pam 192.0.2.1", "forged"))]


def test_who_leaves_in_the_middle_is_no_fault_of_the_fronts(service):
    head = b"PUT /api2/json/nodes/pve1/config HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(3):
        with (
            socket.create_connection(("127.0.0.1", service.port), timeout=60) as plain,
            context.wrap_socket(plain) as tls,
        ):
            tls.sendall(head)
    raw(service, b"no HTTP\r\n\r\n")  # the front has seen the others leave before it answers this
    assert service.call("GET", "/version", as_="root@pam").status_code == 200
    assert (service.said.parent / "front.log").read_text() == ""


def test_an_escaped_prefix_is_not_the_root_of_the_api(service, token):
    head = "GET /api2%2Fjson/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    shown = f"Authorization: PVEAPIToken={token(AUDITOR)}\r\n\r\n"
    assert raw(service, (head + shown).encode()).startswith(b"HTTP/1.1 404")


def test_the_node_that_is_woken_is_the_one_that_its_caller_may_wake(service, token):
    with users.changing(service.paths) as found:
        for name, node in (("near@pve", "pve1"), ("far@pve", "pve2")):
            found[name] = users.User(name, users.grants([f"/nodes/{node}=Sys.PowerMgmt"]))
    wake = ("POST", "/nodes/pve2/wakeonlan")
    assert service.call(*wake, as_=token("near@pve")).status_code == 403
    assert service.call(*wake, as_=token("far@pve")).status_code != 403


def test_what_others_do_does_not_use_up_the_list_of_ones_own_tasks(service, token):
    operator = token(OPERATOR)
    start = ("POST", "/nodes/pve1/startall")
    mine = service.call(*start, as_=operator, data={"vms": "100"}).json()["data"]
    name = operator.partition("=")[0]
    for _ in range(2):
        service.call(*start, as_="root@pam", data={"vms": "100"})
    for filters in ({}, {"userfilter": "OPERATOR"}):
        given = {"limit": 1, "source": "all", **filters}
        rows = service.call("GET", "/nodes/pve1/tasks", as_=operator, params=given).json()["data"]
        assert [(row["upid"], row["user"]) for row in rows] == [(mine, name)]
    other = {"limit": 1, "source": "all", "userfilter": "root"}
    assert service.call("GET", "/nodes/pve1/tasks", as_=operator, params=other).json()["data"] == []
    of_cluster = service.call("GET", "/cluster/tasks", as_=operator).json()["data"]
    assert [row["upid"] for row in of_cluster] == [mine]
    wrong = service.call("GET", "/cluster/tasks", as_=operator, params={"surprise": 1})
    assert "surprise" in wrong.json()["errors"]


def test_a_damaged_file_of_users_is_not_shown_to_strangers(service):
    """Whoever has no ticket hears that there is a fault; which, and where, is in the journal."""
    place = service.paths.api_users
    before = place.read_bytes()
    damaged = json.loads(before)
    damaged["reader@pam"]["totp"] = {"secret": ["JBSWY3DPEHPK3PXP"], "taken": 0}
    try:
        place.write_text(json.dumps(damaged))
        answer = service.call("GET", "/version")
    finally:
        place.write_bytes(before)
    assert answer.status_code == 500
    assert words(answer).strip() == "nobody can log in now: see the journal of pvefw-api-helper"
    journal = service.said.read_text()
    assert f"{place}: it is damaged" in journal
    assert "JBSWY3DPEHPK3PXP" not in journal


@pytest.mark.parametrize(
    ("given", "at_once"),
    [
        ({}, True),
        ({"limit": "500", "start": "100"}, True),
        ({"limit": "300000"}, False),
        ({"limit": ["1", "2"]}, False),
        ({"start": "300000"}, False),
        ({"userfilter": "x"}, False),
    ],
)
def test_nobody_waits_for_a_list_without_end(service, given, at_once):
    """What the helper answers itself keeps it from all others: half a minute for a long history."""
    ticket, _ = service.ticket("reader@pam")
    path = "/nodes/pve1/tasks"
    message = {"method": "GET", "path": path, "parameters": given, "ticket": ticket}
    assert answering.is_at_once(service.paths, message) is at_once


def test_the_largest_call_is_bounded():
    assert wire.LARGEST < 1 << 22

"""Scripts that were written for the original, a command a line: arguments, output and exit status."""

import contextlib
import json

import certificates
import pexpect
import pytest
from shims.conftest import Node

from pvefw.tasks.upid import Upid

WRONG = [
    "pvenode",
    "pvenode nonsense",
    "pvenode c get",
    "pvenode acme",
    "pvenode acme cert",
    "pvenode task list --nonsense",
    "pvenode task list --errors maybe",
    "pvenode task list --errors=maybe",
    "pvenode task list --s 1",
    "pvenode task list --limit",
    "pvenode task list extra",
    "pvenode task list --output-format xml",
    "pvenode task status",
    "pvenode startall --max-workers 65",
    "pvenode config set",
    "pvenode config set --wakeonlan nonsense",
    "pvenode config get --property nonsense",
    "pvenode help nonsense",
]
FAILED = [
    "pvenode task log UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:",
    "pvenode acme account info nobody",
    "pvenode acme account update default",
    "pvenode acme cert revoke",
    "pvenode acme cert renew",
    "pvenode acme plugin remove nothing",
    "pvenode wakeonlan pve2",
    "pvenode cert set missing.crt missing.key",
]
ENDS = ["OK", "WARNINGS: 2", "job errors", "unexpected status"]


def upid(number):
    return f"UPID:pve1:00010D94:001CA6EA:6124E1B{number}:vzdump:10{number}:root@pam:"


@pytest.fixture
def history(node):
    """A task for each way to end, the first one latest."""
    lines = [f"{upid(n)} 6124E1C{n} {how}\n" for n, how in reversed([*enumerate(ENDS)])]
    node.write("var/log/pve/tasks/index", "".join(lines))
    log = "".join(f"line {number}\n" for number in range(1, 61)) + "TASK OK\n"
    for number in range(len(ENDS)):
        node.write(f"var/log/pve/tasks/{number:X}/{upid(number)}", log)
    return node


@pytest.mark.parametrize("line", [*WRONG, *FAILED])
def test_what_fails_or_is_wrong_ends_with_255(node, line):
    said = node.types(line, status=255)
    assert said.strip()
    assert "internal error" not in said


def test_pvefw_itself_keeps_its_statuses(node):
    node.types("pvefw task list --nonsense", status=2)
    node.types("pvefw acme account update default", status=1)
    node.types("pvefw boot status", status=2)


# --- help -------------------------------------------------------------------------------------------


def test_help(node):
    whole = node.types("pvenode help")
    assert whole == node.types("pvenode help --verbose")
    assert "pvenode acme account register [<name>] <contact> [OPTIONS]" in whole
    part = node.types("pvenode help acme acc")
    assert "pvenode acme account list" in part
    assert "acme cert" not in part
    assert "--force" in node.types("pvenode help acme cert order")
    assert "Usage: pvenode acme cert order" in node.types("pvenode acme cert order --help")


def test_what_only_pvefw_has_can_be_used_too(history):
    assert "4 ended tasks" in history.types("pvenode task index")
    assert history.types("pvenode boot status", status=255)
    listed = history.types("pvenode task list --noheader --grep 'line 1'")
    assert len(listed.splitlines()) == len(ENDS)
    assert "line 60" in history.types(f"pvenode task log -- {upid(1)}")
    history.types("pvenode task log --root", status=255)


# --- how results are printed ------------------------------------------------------------------------


def test_tables_for_line_tools(history):
    header, *rows = history.types("pvenode task list --noborder").splitlines()
    assert header.split() == ["upid", "type", "id", "user", "starttime", "endtime", "status"]
    assert rows[0].split()[3:] == ["root@pam", str(0x6124E1B3), str(0x6124E1C3), "UNKNOWN"]
    bare = history.types("pvenode task list --noborder 1 -noheader").splitlines()
    assert bare == rows
    assert history.types("pvenode task list --noheader 0").splitlines() == [header, *rows]
    assert history.types("pvenode task list --quiet") == ""
    assert history.types("pvenode task list --quiet 1 --output-format json") == ""


def test_on_a_terminal(history):
    history.env["COLUMNS"] = "200"

    def shown(line):
        with contextlib.closing(history.at_terminal(line)) as session:
            session.expect(pexpect.EOF)
            return session.before

    def bordered(text):
        return any(corner in text for corner in "┌+")

    assert "starttime" in shown("pvenode task list")
    assert bordered(shown("pvenode task list"))
    assert bordered(shown("pvenode task list --noheader"))
    assert "starttime" not in shown("pvenode task list --noheader")
    assert not bordered(shown("pvenode task list --noborder"))
    assert "starttime" in shown("pvenode task list --noborder")


def test_numbers_instead_of_words(node):
    made = certificates.self_signed("pve1.example.com")
    (node.directory / "own.crt").write_bytes(made[0])
    (node.directory / "own.key").write_bytes(made[1])
    node.types("pvenode cert set own.crt own.key")
    assert "UTC" in node.types("pvenode cert info")
    shown = node.types("pvenode cert info --human-readable 0 --noheader")
    after = next(line.split()[1] for line in shown.splitlines() if line.startswith("notafter"))
    assert int(after) > 1_700_000_000


# --- the configuration ------------------------------------------------------------------------------


def test_config_get_prints_the_files_lines(node):
    node.types("pvenode config set -wake 52:54:00:12:34:56 -startall 10 --desc 'rack 12: left'")
    text = (node.root / "etc/pve/nodes/pve1/config").read_text()
    assert node.types("pvenode config get") == text
    assert node.types("pvenode conf get --prop all") == text
    assert node.types("pvenode config get --property wakeonlan") == "wakeonlan: 52:54:00:12:34:56\n"
    assert node.types("pvenode config get --property description") == "#rack 12%3A left\n"
    assert node.types("pvenode config get --property acme") == ""
    node.types("pvenode config set --delete wakeonlan --delete startall-onboot-delay,description")
    assert node.types("pvenode config get") == ""


def test_account_list_prints_names(node):
    for name in ("staging", "default"):
        node.write(f"etc/pve/priv/acme/{name}", "{}")
    assert node.types("pvenode acme account list") == "default\nstaging\n"
    listed = node.types("pvenode acme account list --output-format json")
    assert json.loads(listed) == [{"name": "default"}, {"name": "staging"}]


def test_plugins_with_values_for_booleans(node):
    (node.directory / "data").write_text("OVH_AK=k\nOVH_AS=s\nOVH_CK=c\n")
    node.types("pvenode acme plugin add dns one --api ovh --data data --disable 1 --node pve1")
    node.types("pvenode acme plugin add --type dns --id two --api=ovh --data=data --disable=0")

    def disabled():
        listed = json.loads(node.types("pvenode acme plugin list --output-format json"))
        return {row["plugin"]: row["disable"] for row in listed if row["plugin"] != "standalone"}

    assert disabled() == {"one": True, "two": False}
    node.types("pvenode acme plugin set one --disable 0")
    node.types("pvenode acme plugin set two -disable")
    assert disabled() == {"one": False, "two": True}
    nodes = json.loads(node.types("pvenode acme plugin config --id one --output-format json"))
    assert nodes["nodes"] in ("pve1", ["pve1"])


# --- tasks ------------------------------------------------------------------------------------------


def test_errors_are_all_that_is_not_ok(history):
    def listed(options):
        shown = history.types(f"pvenode task list --noheader {options}")
        return [ENDS[int(Upid.parse(line.split()[0]).id) % 100] for line in shown.splitlines()]

    assert listed("") == ENDS[::-1]
    assert listed("--errors") == ENDS[:0:-1]
    assert listed("--errors 1 --statusfilter ok") == ENDS[:0:-1], "the reference ignores it"
    assert listed("--errors 0 --statusf ok,warning") == ["WARNINGS: 2", "OK"]
    assert listed("--statusfilter ok --statusfilter warning") == ["WARNINGS: 2", "OK"]


def test_a_log_in_parts_and_whole(history):
    log = history.types(f"pvenode task log {upid(0)}")
    assert log.splitlines()[0::59] == ["line 1", "line 60"]
    assert history.types(f"pvenode task log {upid(0)} --start 2 --limit 2") == "line 3\nline 4\n"
    assert history.types(f"pvenode task log --upid {upid(0)} --limit 0") == log
    assert history.types(f"pvenode task log {upid(0)} --download 1") == log
    assert history.types(f"pvenode task log {upid(0)} --down --limit 1") == log


# --- guests -----------------------------------------------------------------------------------------


def test_bulk_actions(farm):
    node = Node(farm.root, PYTHONPATH=str(farm.site))
    farm.guest(100, onboot=False)
    farm.guest(101, onboot=True)
    node.types("pvenode startall --force 0")
    assert [farm.state(vmid) for vmid in (100, 101)] == ["stopped", "running"]
    node.types("pvenode starta -f 1 --vms 100 --vms 101")
    assert farm.state(100) == "running"
    node.types("pvenode migrateall pve2 --maxworkers 2 -with-local-disks 1")
    assert sorted(event["vmid"] for event in farm.events("migrated")) == [100, 101]  # two at a time
    farm.guest(102, state="running", down_secs=None)
    node.types("pvenode stopall --force-stop 0 --timeout 1")
    assert farm.state(102) == "running"
    node.types("pvenode stopall --force-stop 1 --timeout 1")
    assert farm.state(102) == "stopped"


def test_how_a_bulk_action_ended_is_not_in_its_status(farm):
    node = Node(farm.root, PYTHONPATH=str(farm.site))
    farm.guest(100, fail=True)
    assert "no bootable device" in node.types("pvefw startall", status=1)
    assert "no bootable device" in node.types("pvenode startall")
    node.types("pvenode startall --vms ,", status=255)
    assert "pvefw: " in node.types("pvefw startall --vms 999", status=1)


def test_numbers_that_are_no_guests_are_left_out(farm):
    """The reference looks for its guests among the numbers, not for the numbers among its guests."""
    node = Node(farm.root, PYTHONPATH=str(farm.site))
    farm.guest(100)
    said = node.types("pvenode startall --vms 100,999")
    assert farm.state(100) == "running"
    assert "999: it is no guest" in said
    node.types("pvenode startall --vms 999")
    node.types("pvefw stopall --vms 100,999", status=1)
    assert farm.state(100) == "running"


# --- certificates -----------------------------------------------------------------------------------


def test_a_certificate_is_set_shown_and_deleted(node):
    for name in ("one", "two"):
        made = certificates.self_signed(f"{name}.example.com")
        (node.directory / f"{name}.crt").write_bytes(made[0])
        (node.directory / f"{name}.key").write_bytes(made[1])
    pem = node.root / "etc/pve/nodes/pve1/pveproxy-ssl.pem"
    shown = node.result("pvenode cert set one.crt one.key --output-format json")
    assert json.loads(shown)["filename"] == "pveproxy-ssl.pem"
    said = node.types("pvenode cert set two.crt two.key --force 0", status=255)
    assert said.startswith("pvenode: cert set: ")
    assert pem.read_bytes().strip() == (node.directory / "one.crt").read_bytes().strip()
    shown = node.result("pvenode cert set --key two.key two.crt -force 1 -restart 0")
    assert pem.read_bytes().strip() == (node.directory / "two.crt").read_bytes().strip()
    assert shown.startswith("filename")
    assert "two.example.com" in shown
    assert node.result("pvenode cert set one.crt one.key --force=1 --quiet 1") == ""
    node.types("pvenode cert delete 1")
    assert not pem.exists()
    assert "nothing to delete" in node.types("pvenode cert delete --restart 1")
    assert "nothing to delete" not in node.types("pvenode cert delete --help")


def test_a_key_in_place_of_its_file_is_not_repeated(node):
    said = node.types("pvenode cert set /dev/null '-----BEGIN X-----\nMHcCAQEE\n'", status=255)
    assert "this is what a file contains, and not its name" in said
    assert "MHcC" not in said


def test_an_order_that_is_refused_is_no_task(authority, pebble):
    register = (
        f"pvenode acme account register --contact mail@example.invalid --dir {pebble.directory}"
    )
    authority.types(f"{register} --accept-tos")
    authority.types("pvenode config set --acme domains=example.invalid")

    def types():
        rows = authority.types("pvenode task list --noheader --source all").splitlines()
        return [row.split()[1] for row in rows if row.split()[1].startswith("acme")]

    authority.types("pvenode acme cert renew", status=255)
    assert types() == ["acmeregister"]
    authority.types("pvenode acme cert order --force 0")
    assert types() == ["acmenewcert", "acmeregister"]
    pem = authority.root / "etc/pve/nodes/pve1/pveproxy-ssl.pem"
    first = pem.read_bytes()
    assert "--force" in authority.types("pvenode acme cert order", status=255)
    assert "not due" in authority.types("pvenode acme cert renew", status=255)
    authority.types("pvenode acme cert renew --force 0", status=255)
    assert types() == ["acmenewcert", "acmeregister"]
    assert pem.read_bytes() == first
    assert authority.types("pvenode acme cert renew --force 1").endswith("Task OK\n")
    authority.types("pvenode a c o -f")
    assert types() == ["acmenewcert", "acmerenew", "acmenewcert", "acmeregister"]
    almost_over = certificates.self_signed("example.invalid", begin=-85)
    for part, data in zip((pem, pem.with_suffix(".key")), almost_over, strict=True):
        part.write_bytes(data)
    assert authority.types("pvenode acme cert renew").endswith("Task OK\n"), "now it is due"
    assert pem.read_bytes() != almost_over[0]
    assert pem.read_bytes() != first
    assert authority.types("pvenode acme account info --name default --noheader").startswith(
        "account"
    )
    authority.types("pvenode acme account deactivate")


def test_answers_come_through_a_pipe(authority, pebble):
    register = "pvenode acme account register"
    answers = f"2\\n{pebble.directory}\\ny\\n"
    said = authority.types(
        f"sh -c \"printf '{answers}' | {register} default mail@example.invalid\""
    )
    assert said.endswith("Task OK\n")
    authority.types(
        f"sh -c 'echo n | {register} other mail@example.invalid --directory {pebble.directory}'",
        status=255,
    )
    authority.types(f"{register} other mail@example.invalid", status=255)
    authority.types(
        f"sh -c 'echo y | {register} other mail@example.invalid --directory {pebble.directory}'"
    )
    assert authority.types("pvenode acme account list") == "default\nother\n"
    authority.types(
        f"sh -c 'echo y | pvefw acme account register third m@example.invalid "
        f"--directory {pebble.directory}'",
        status=2,
    )


def types_into(node, program, line, status):
    """Run a command that is answered by another one."""
    return node.types(f"sh -c '{program} | {line}'", status=status)


@pytest.mark.parametrize("program", ["yes", 'yes ""', 'echo 2; yes ""'])
def test_answers_without_end_are_refused(node, program):
    """Each line of a long output would be a question asked again: it would fill a disk."""
    register = "pvenode acme account register default mail@example.invalid"
    said = types_into(node, f"{{ {program}; }} 2>/dev/null", register, 255)
    assert "no usable answer in 3 attempts\n  Nothing was registered." in said


def test_the_end_of_the_answers_is_no_interruption(node):
    said = types_into(
        node, "echo 2", "pvenode acme account register default mail@example.invalid", 255
    )
    assert "the input ended where an answer was expected" in said
    assert "interrupted" not in said


def test_yes_to_everything_needs_no_external_account_binding(authority, pebble):
    register = "pvenode acme account register"
    said = types_into(
        authority, "yes", f"{register} all mail@example.invalid --directory {pebble.directory}", 0
    )
    assert said.endswith("Task OK\n")
    said = types_into(
        authority,
        'printf "y\\ny\\nkid\\n_\\n"',
        f"{register} bound mail@example.invalid --directory {pebble.directory}",
        255,
    )
    assert "Warning" not in said  # of getpass, which cannot hide what comes through a pipe
    assert "the key of the external account binding is not base64url" in said


def test_what_is_odd_in_a_file_is_said_before_a_task_too(node):
    config = node.root / "etc/pve/nodes/pve1/config"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("acmedomain0: a.example # mine\nballooning-target: 70\n")
    for line, status in [("config get", 0), ("acme cert order", 255)]:
        said = node.types(f"pvenode {line}", status)
        assert said.count("config:1: acmedomain0: 'a.example # mine' is neither") == 1, line
    assert node.result("pvenode config get") == "ballooning-target: 70\n"

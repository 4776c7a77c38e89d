"""The page in Cockpit: every view at two widths and in two colours, and what is done there."""

import certificates
import full_node
import pytest
from browser.visits import EVERY_LOOK, WANTS_PICTURES, visiting
from waiting import wait_until
from whole_host import Host

SCRIPT = "mail" if WANTS_PICTURES else "<img src=x onerror=alert(1)>"
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def visit(browser, cockpit, tmp_path):
    with visiting(browser, cockpit, tmp_path) as made:
        yield made


@pytest.fixture
def everything(farm):
    """A node with one of everything, and a script in every text that somebody else writes."""
    paths, backend = farm.paths, farm.paths.cluster_pvefw_cfg.read_text()
    full_node.fill(paths)
    with paths.cluster_pvefw_cfg.open("a") as file:
        file.write(backend)
    for path in (paths.acme_dir / "default", paths.plugins_cfg):
        path.chmod(0o600)
    paths.node_config().write_text(f"#{SCRIPT}\nacmedomain0: pve1.example,plugin=mine\n")
    paths.node_dir("pve2").mkdir(parents=True)
    paths.node_config("pve2").write_text("wakeonlan: 02:00:00:00:00:01\n")
    log = paths.task_dir / "9" / full_node.UPID
    log.write_text(f"   0.004 s  adding TXT {SCRIPT}\nTASK ERROR: {SCRIPT}\n")
    farm.guest(100, name=SCRIPT, after=[101])
    farm.guest(101, order=1, state="running", ready="agent")
    for version in ("6.8.12-4-pve", "6.8.12-5-pve"):
        (paths.modules / version).mkdir(parents=True)
        for name in ("vmlinuz", "initrd.img"):
            (paths.kernels / f"{name}-{version}").parent.mkdir(exist_ok=True)
            (paths.kernels / f"{name}-{version}").write_text("of a test")
    paths.esp_uuids.write_text("ABCD-1234\n")
    return farm


VIEWS = {
    "overview": "What to do next",
    "certificates": "Drop the PEM files here",
    "acme": "Register an account",
    "tasks": "Tasks, latest first",
    f"tasks/{full_node.UPID}": "TASK ERROR",
    "guests": SCRIPT,
    "boot": "boots by default",
    "node": "Wake-on-LAN",
    "plugins": "Installed plugins",
    "observers": "tell",
}


def test_every_view_is_readable_by_everybody(visit, everything):
    for view, text in VIEWS.items():
        visit.open(view, text)
        assert visit.page.locator("main > h2").inner_text() != "This view cannot be shown"
        assert visit.page.locator("main section > p.failed").all_inner_texts() == []
        visit.check(EVERY_LOOK)
        visit.photograph(view.partition("/")[0] + ("-log" if "/" in view else ""))


# --- certificates ---------------------------------------------------------------------------------


def test_a_certificate_is_ordered_by_clicking(visit, farm, pebble):
    host = Host(farm.root, {"PYTHONPATH": str(farm.site)})
    host.standalone(pebble.http_port)
    visit.open("acme", "Register an account")
    visit.fill({"directory": pebble.directory, "ca-file": str(pebble.ca_file)})
    visit.press("Show its terms")
    visit.page.get_by_label("I agree to the terms").check()
    visit.fill({"contact": "a@b.example"})
    visit.press("Register")
    visit.ends_well()
    visit.is_told(f"pvefw acme account register --directory {pebble.directory}")

    visit.open("acme", "Account to order with")
    visit.field("domain").fill("a.example")
    visit.page.keyboard.press("Enter")
    visit.is_told("pvefw config set --acmedomain0 domain=a.example")
    visit.sees("a.example")
    visit.open("certificates", "a.example")
    visit.press("Order now")
    visit.ends_well()
    visit.is_told("pvefw acme cert order --force pveproxy")
    visit.open("certificates", "after two thirds of its")
    visit.check()
    assert host.pair()[0].startswith(b"-----BEGIN CERTIFICATE-----")


def test_a_wrong_pair_is_refused_in_the_words_of_the_command(visit, farm, tmp_path):
    (pem, key), (_, wrong) = certificates.self_signed(), certificates.self_signed()
    chain, other = tmp_path / "chain.pem", tmp_path / "other.pem"
    chain.write_bytes(pem)
    other.write_bytes(wrong)
    said = farm.fail("cert", "set", chain, other).splitlines()
    [sentence] = [line.partition("ERROR: ")[2] for line in said if "does not belong" in line][:1]

    visit.open("certificates", "Install a certificate")
    visit.page.get_by_label("PEM files").set_input_files([chain, other])
    holds(visit.page, wrong)
    visit.press("Install")
    visit.is_told(sentence)
    assert not farm.paths.proxy_certificate.exists()
    drop(visit.page, pem, key)
    visit.press("Install")
    visit.is_told("The certificate is installed.")
    assert farm.paths.proxy_key.read_bytes().split() == key.split()
    assert visit.wrong == []


def test_a_pair_is_installed_under_a_name_and_deleted(visit, farm):
    """The form's selector says which certificate it is; the node's own is left alone."""
    farm.run("cert", "add", "web", "--acme", "domains=web.example")
    pem, key = certificates.self_signed("web.example")
    visit.open("certificates", "web.example")
    visit.page.get_by_label("Install it as").select_option("web")
    drop(visit.page, pem, key)
    visit.press("Install")
    visit.is_told("The certificate is installed.")
    visit.is_told("pvefw cert set chain.pem key.pem --force --certificate web")
    installed = farm.paths.certificate_files("web").certificate
    assert installed.read_bytes().split() == pem.split()
    assert not farm.paths.proxy_certificate.exists()
    row = visit.page.get_by_role("row").filter(has_text="web.example")
    row.get_by_role("button", name="Delete", exact=True).click()
    row.get_by_role("button", name="Delete the certificate web?").click()
    visit.is_told("pvefw cert delete")
    wait_until(lambda: not installed.exists(), "the pair is deleted")
    assert visit.wrong == []


def drop(page, pem, key):
    """Let a file with a pair fall on the form, and return when the form has read it."""
    page.evaluate(
        """text => {
            const files = new DataTransfer();
            files.items.add(new File([text], "pair.pem"));
            const event = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
            document.querySelector(".drop").dispatchEvent(event);
        }""",
        pem.decode() + key.decode(),
    )
    holds(page, key)


def holds(page, key):
    """Return when the form holds this key: a page reads files in the background."""
    field = page.get_by_label("Private key")
    wait_until(lambda: field.input_value().split() == key.decode().split(), "the key is read")


# --- guests and tasks -----------------------------------------------------------------------------


def test_a_bulk_stop_is_watched_to_its_end_with_the_tab_closed_meanwhile(visit, farm):
    farm.guest(100, state="running", down_secs=3)
    farm.guest(101, state="running", order=1)
    farm.guest(102, state="running")
    visit.open("guests", "vm100")
    visit.page.get_by_label("Choose 100").check()
    visit.page.get_by_label("Choose 101").check()
    visit.press("Stop…")
    visit.sees("What stop will do")
    visit.is_told("pvefw stopall --dry-run --vms 100,101")
    assert farm.events() == []
    visit.photograph("guests-plan")
    visit.press("Stop these guests")
    visit.sees("shutting down")
    visit.is_told("pvefw stopall --vms 100,101")
    visit.close_tab_and_open_another()
    visit.ends_well()
    progress = visit.page.get_by_role("region", name="What happens to each guest")
    assert progress.get_by_text("stopped after").count() == 2
    assert [farm.state(vmid) for vmid in (100, 101, 102)] == ["stopped", "stopped", "running"]
    visit.check()
    with visit.page.expect_download() as download:
        visit.press("Download the log")
    assert "2 of 2 guests done" in download.value.path().read_text()


def test_each_bulk_action_shows_its_plan_and_changes_nothing_by_that(visit, farm):
    """One that has to be told something is asked first."""
    farm.guest(100, state="running")
    visit.open("guests", "vm100")
    for name, command in (("Suspend", "suspendall"), ("Stop", "stopall")):
        visit.press(f"{name}…")
        visit.sees(f"What {name.lower()} will do")
        visit.is_told(f"pvefw {command} --dry-run")
    visit.press("Migrate…")
    visit.fill({"target": "small"})
    visit.press("Show the plan")
    visit.sees("What migrate will do")
    visit.is_told("pvefw migrateall --dry-run")
    visit.check()
    assert farm.events() == []
    assert farm.state(100) == "running"


def test_a_task_is_stopped_and_found_again_by_its_state(visit, farm):
    farm.guest(100, start_secs=600)
    visit.open("guests", "vm100")
    visit.press("Start…")
    visit.press("Start these guests")
    farm.wait_for("start")
    visit.press("Stop")
    visit.press("Stop this task?")
    visit.sees("TASK ERROR: interrupted")
    visit.open("tasks", "startall")
    visit.field("statusfilter").select_option("ok")
    visit.press("Filter")
    visit.sees("Tasks, latest first: none.")
    assert visit.wrong == []


# --- forms ----------------------------------------------------------------------------------------


def test_a_plugin_gets_the_form_that_it_declares_and_shows_no_secret(visit, farm):
    visit.open("acme", "Plugin instances")
    visit.press("Add…")
    visit.fill({"id": "mine", "api": "ovh"})
    visit.press("Show its settings")
    visit.fill({"OVH_AK": "key", "OVH_AS": "much too secret", "OVH_CK": "file:/etc/consumer"})
    visit.check()
    visit.photograph("acme-plugin", near="main .card form >> nth=-1")
    visit.press("Add mine")
    visit.is_told("pvefw acme plugin add --api ovh --data - dns mine")
    row = visit.page.get_by_role("row", name="mine")
    row.get_by_role("button", name="Change…").click()
    secret = visit.field("OVH_AS")
    assert (secret.get_attribute("placeholder"), secret.input_value()) == ("kept as it is", "")
    assert visit.field("OVH_CK").input_value() == "/etc/consumer"
    visit.fill({"OVH_END_POINT": "ovh-ca"})
    visit.press("Save mine")
    visit.is_told("Save mine: done.")
    assert "much too secret" not in visit.page.content()
    kept = farm.run("acme", "plugin", "config", "mine", "--show-secrets", "--output-format", "json")
    assert '"OVH_AS": "much too secret"' in kept
    assert '"OVH_END_POINT": "ovh-ca"' in kept
    assert visit.wrong == []


def test_properties_are_changed_and_deleted(visit, farm):
    farm.paths.node_config().write_text("#rack 12\nballooning-target: 70\n")
    visit.open("node", "Wake-on-LAN")
    visit.fill({"description": "", "ballooning-target": "75", "startall-onboot-delay": "5"})
    visit.page.get_by_role("button", name="Save").focus()
    visit.page.keyboard.press("Enter")
    visit.is_told("Save: done.")
    wanted = "ballooning-target: 75\nstartall-onboot-delay: 5\n"
    wait_until(lambda: farm.paths.node_config().read_text() == wanted, "it is saved")
    assert visit.wrong == []

"""The page in Cockpit: every page at two widths and in two colours, and what is done there."""

import certificates
import pytest
from browser.visits import SHAPES, barriers, is_too_wide
from waiting import wait_until

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"
SCRIPT = "<img src=x onerror=alert(1)>"


class Visit:
    """A page that somebody looks at; nothing may fail in it."""

    def __init__(self, context, address):
        self.page = context.new_page()
        self.address = address
        self.wrong = []
        self.page.on("requestfailed", lambda one: self.wrong.append(f"failed: {one.url}"))
        self.page.on("pageerror", lambda one: self.wrong.append(f"error: {one}"))
        self.page.on("dialog", lambda one: self.wrong.append(f"script: {one.message}"))
        self.page.on("console", self._console)
        self.page.on("response", self._response)

    def _console(self, message):
        if message.type == "error" and "favicon" not in message.location.get("url", ""):
            self.wrong.append(f"console: {message.text}")

    def _response(self, answer):
        if answer.status >= 400 and "favicon" not in answer.url:
            self.wrong.append(f"{answer.status}: {answer.url}")

    def open(self, name, waits_for):
        self.page.goto(f"{self.address}#/{name}")
        self.page.locator("main").get_by_text(waits_for).first.wait_for()
        self.page.locator("main:not([aria-busy])").wait_for()

    def check(self):
        assert self.wrong == []
        assert not is_too_wide(self.page)
        assert barriers(self.page) == []


@pytest.fixture(params=SHAPES)
def any_shape(request, browser, cockpit):
    context = browser.new_context(**request.param)
    yield Visit(context, cockpit)
    context.close()


@pytest.fixture
def visit(browser, cockpit):
    context = browser.new_context()
    yield Visit(context, cockpit)
    context.close()


def write_task(farm):
    tasks = farm.paths.task_dir
    (tasks / "9").mkdir(parents=True)
    (tasks / "index").write_text(f"{UPID} 6124E1C0 {SCRIPT}\n")
    (tasks / "9" / UPID).write_text(f"{SCRIPT}\nTASK ERROR: {SCRIPT}\n")


def test_every_page_is_readable_by_everybody(any_shape, farm):
    pem, _ = certificates.self_signed()
    farm.paths.proxy_certificate.write_bytes(pem)
    farm.paths.node_config().write_text("acmedomain0: a.example\n")
    farm.guest(100, name=SCRIPT, after=[101])
    farm.guest(101, order=1)
    write_task(farm)
    for name, text in (
        ("overview", "certificates"),
        ("certificates", "pveproxy-ssl.pem"),
        ("guests", SCRIPT),
        ("tasks", "vzdump"),
        (f"tasks/{UPID}", "TASK ERROR"),
    ):
        any_shape.open(name, text)
        any_shape.check()


def test_guests_are_started_after_a_look_at_the_plan(visit, farm):
    farm.guest(100, start_secs=1)
    visit.open("guests", "vm100")
    visit.page.get_by_role("button", name="Start all…").click()
    begin = visit.page.get_by_role("button", name="Start these guests")
    begin.wait_for()
    assert farm.events() == []
    begin.click()
    visit.page.get_by_text("TASK OK").wait_for()
    assert farm.state(100) == "running"
    visit.page.locator("main p.ok").wait_for()
    visit.check()


def test_a_task_goes_on_without_the_page_and_is_stopped_in_it(visit, farm):
    farm.guest(100, start_secs=600)
    visit.open("guests", "vm100")
    visit.page.get_by_role("button", name="Start all…").click()
    visit.page.get_by_role("button", name="Start these guests").click()
    farm.wait_for("start")
    visit.page.get_by_text("100 (vm100)").wait_for()
    address = visit.page.url
    visit.page.goto("about:blank")
    visit.page.goto(address)
    stop = visit.page.get_by_role("button", name="Stop")
    stop.click()
    visit.page.get_by_role("button", name="Stop this task?").click()
    visit.page.get_by_text("TASK ERROR: interrupted").wait_for()
    assert visit.wrong == []


def test_a_certificate_is_installed_and_a_wrong_pair_is_explained(visit, farm):
    pem, key = certificates.self_signed()
    _, wrong = certificates.self_signed()
    visit.open("certificates", "Install a certificate")
    visit.page.get_by_label("Certificate and its chain").fill(pem.decode())
    visit.page.get_by_label("Private key").fill(wrong.decode())
    visit.page.get_by_role("button", name="Install").click()
    visit.page.get_by_text("does not belong to the certificate").wait_for()
    assert not farm.paths.proxy_certificate.exists()
    visit.page.get_by_label("Private key").fill(key.decode())
    visit.page.get_by_role("button", name="Install").click()
    visit.page.get_by_text("The certificate is installed.").wait_for()
    assert farm.paths.proxy_key.read_bytes().split() == key.split()
    wait_until(lambda: "pveproxy-ssl.pem" in visit.page.content(), "it is listed", seconds=10)
    assert visit.wrong == []

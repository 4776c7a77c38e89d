"""The page's way to the API over HTTPS, in a browser: login, session, refusals in words, logout."""

import contextlib

import pytest
from servers.chromium import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser, service_of_a_page):
    """A page that is open, on a phone."""
    phone = {"width": 390, "height": 844}
    context = browser.new_context(ignore_https_errors=True, viewport=phone)
    opened = context.new_page()
    opened.set_default_timeout(240_000)
    opened.goto(service_of_a_page.url("/"))
    yield opened
    context.close()


def log_in(page, user, password):
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("dialog").get_by_role("button", name="Log in").click()


def is_shown(page, text):
    page.locator("#page", has_text=text).wait_for()


def test_a_session_from_login_to_logout(page, service_of_a_page):
    """A ticket is as good as a password, so that no account of this host is needed."""
    log_in(page, "root@pam", "PVE:root@pam:00000000::AAAA")
    page.get_by_role("alert").filter(has_text="authentication failure").wait_for()
    ticket, _ = service_of_a_page.ticket("root@pam")
    log_in(page, "root@pam", ticket)
    is_shown(page, "changed")
    assert b"by hand" in service_of_a_page.paths.node_config().read_bytes()
    assert page.evaluate("document.cookie") == ""
    [cookie] = page.context.cookies()
    assert cookie["name"] == "__Host-PVEAuthCookie"
    assert cookie["httpOnly"]
    page.reload()
    is_shown(page, "changed")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("dialog").wait_for()
    assert page.context.cookies() == []


def test_the_login_can_be_read_and_fits_a_phone(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.get_by_role("dialog").wait_for()
    rules = {"runOnly": ["wcag2a", "wcag2aa"]}
    assert axe.Axe().run(page, options=rules).response["violations"] == []
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) == 0


def test_who_may_not_reads_why(page, service_of_a_page):
    ticket, _ = service_of_a_page.ticket("reader@pam")
    log_in(page, "reader@pam", ticket)
    is_shown(page, "Permission check failed (/, Sys.Modify)")


@pytest.mark.parametrize("view", ["overview", "tasks"])
def test_the_page_of_cockpit_is_served_here_too(browser, service, view):
    """Nothing in it knows who serves it: after the login each view is drawn, and nothing is refused."""
    wrong = []
    with contextlib.closing(browser.new_context(ignore_https_errors=True)) as context:
        opened = context.new_page()
        opened.set_default_timeout(240_000)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.goto(service.url(f"/#/{view}"))
        ticket, _ = service.ticket("root@pam")
        log_in(opened, "root@pam", ticket)
        opened.get_by_role("dialog").wait_for(state="detached")
        opened.locator("#page:not([aria-busy=true]) h2").first.wait_for()
        opened.on(
            "response", lambda response: response.status >= 400 and wrong.append(response.url)
        )
        opened.reload()
        opened.locator("#page:not([aria-busy=true]) h2").first.wait_for()
        assert opened.get_by_role("dialog").count() == 0
    assert wrong == []

"""The documentation as a site: everybody can read it, on a desk and on a phone."""

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser.visits import SHAPES, barriers, is_too_wide
from environments import ROOT
from resources import uses

ONE_OF_EACH_KIND = ["", "node/", "reference/hooks/"]
"""Pictures and cards; outputs and tables; code. All pages take minutes: they are the night's."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Not in the tests' output."""


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder of the site, as `make site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(build, cwd=ROOT, env=env, check=True)
    return folder


@pytest.fixture(scope="session")
def site(built):
    """The address of the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=built)) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def visit(browser, site):
    """Opens a window; at the end, nothing was missing and nothing came from elsewhere."""
    opened, wrong = [], []

    def do(**shape):
        context = browser.new_context(**shape)
        opened.append(context)
        context.on(
            "request", lambda happened: happened.url.startswith(site) or wrong.append(happened.url)
        )
        context.on(
            "response",
            lambda happened: (
                happened.status < 400 or wrong.append(f"{happened.status}: {happened.url}")
            ),
        )
        context.on(
            "console", lambda happened: happened.type == "error" and wrong.append(happened.text)
        )
        page = context.new_page()
        page.goto(site)
        return page

    yield do
    for page_ in opened:
        page_.close()
    assert wrong == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_page_is_without_barriers(visit, site, shape):
    page = visit(**shape)
    for name in ONE_OF_EACH_KIND:
        page.goto(site + name)
        assert barriers(page) == [], name
        assert not is_too_wide(page), name


@uses("night")  # by day, a page of each kind
@pytest.mark.parametrize("shape", SHAPES)
def test_no_page_has_barriers(visit, built, site, shape):
    page = visit(**shape)
    names = sorted(path.parent.relative_to(built).as_posix() for path in built.rglob("index.html"))
    assert len(names) > len(ONE_OF_EACH_KIND)
    wrong = {}
    for name in names:
        page.goto(f"{site}{name}/")
        if found := barriers(page) + ["it is too wide"] * is_too_wide(page):
            wrong[name] = found
    assert wrong == {}


def test_the_reference_of_commands_fits_a_phone(visit, site):
    """Nothing has to be moved sideways, not even a table."""
    page = visit(viewport={"width": 390, "height": 844}, is_mobile=True)
    page.goto(f"{site}reference/commands/")
    assert not is_too_wide(page)
    wide = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
    assert page.locator(".md-typeset__scrollwrap").evaluate_all(wide) == []


def test_the_recorded_demo_is_played_when_somebody_wants_it(visit):
    page = visit()
    screen = page.get_by_role("region", name="The recorded terminal")
    assert not screen.is_visible()
    page.get_by_role("button", name="Play the recording").click()
    screen.get_by_text("acme account register").wait_for()
    assert barriers(page) == []
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Play again").wait_for()


def test_colours_can_be_switched(visit):
    page = visit(color_scheme="light")
    body = page.locator("body")
    assert body.get_attribute("data-md-color-scheme") == "default"
    page.get_by_title("Dark colours").click()
    page.locator("body[data-md-color-scheme=slate]").wait_for()
    page.reload()
    assert body.get_attribute("data-md-color-scheme") == "slate"

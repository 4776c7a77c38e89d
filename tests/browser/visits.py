"""Pages as somebody sees them: the shapes of a window, and what must hold in each."""

import contextlib
import os
import time

import pytest
from environments import ROOT

SHAPES = [
    pytest.param({"viewport": {"width": 1366, "height": 900}, "color_scheme": "light"}, id="wide"),
    pytest.param(
        {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
         "color_scheme": "dark"},
        id="phone",
    ),
]  # fmt: skip


def is_too_wide(page):
    """Whether the whole page has to be moved sideways to read it."""
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    needed, visible = page.evaluate(widths)
    return needed > visible


def barriers(page):
    """What axe-core finds of WCAG 2, levels A and AA."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
    return [
        (violation["id"], violation["nodes"][0]["html"])
        for violation in Axe().run(page, options=options).response["violations"]
    ]


# --- the page of pvefw ----------------------------------------------------------------------------

PICTURES = ROOT / "docs/images"
WANTS_PICTURES = "PVEFW_PICTURES" in os.environ
"""Whether the pictures of the documentation are written, from a node without attacks."""
_BOTH = ((1366, "light"), (390, "dark"))
"""Widths and colours, each once: enough where a view has been looked at in every way before."""
EVERY_LOOK = (*_BOTH, (1366, "dark"), (390, "light"))
ON_A_PHONE = {"overview", "guests"}
_PATIENCE = 240_000.0
"""Milliseconds: each call of the page is a process."""
_LONG = 60.0
"""Seconds: a visit takes some ten."""


class Visit:
    """A page that somebody looks at; nothing may fail in it."""

    def __init__(self, context, address):
        self.context = context
        self.address = address
        self.wrong = []
        self.page = self._tab()

    def _tab(self):
        page = self.context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.on("requestfailed", lambda happened: self.wrong.append(f"failed: {happened.url}"))
        page.on("pageerror", lambda happened: self.wrong.append(f"error: {happened}"))
        page.on("dialog", lambda happened: self.wrong.append(f"script: {happened.message}"))
        page.on("console", self._console)
        page.on("response", self._response)
        return page

    def _console(self, message):
        if message.type == "error" and "favicon" not in message.location.get("url", ""):
            self.wrong.append(f"console: {message.text}")

    def _response(self, answer):
        if answer.status >= 400 and "favicon" not in answer.url:
            self.wrong.append(f"{answer.status}: {answer.url}")

    def close_tab_and_open_another(self):
        address = self.page.url
        self.page.close()
        self.page = self._tab()
        self.page.goto(address)

    def open(self, name, waits_for):
        self.page.goto(f"{self.address}#/{name}")
        self.sees(waits_for)
        self.page.locator("main:not([aria-busy])").wait_for()

    def sees(self, text):
        self.page.locator("main").get_by_text(text).first.wait_for()

    def is_told(self, text):
        self.page.locator("footer").get_by_text(text).first.wait_for()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def ends_well(self):
        self.page.locator("main .ok").get_by_text("OK", exact=True).wait_for()

    def fill(self, values):
        for key, value in values.items():
            self.field(key).fill(value)

    def field(self, key):
        return self.page.locator(f"main [name='{key}']").last

    def check(self, looks=_BOTH):
        assert self.wrong == []
        for width, colours in looks:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme=colours)
            assert not is_too_wide(self.page), f"at {width} pixels"
            assert barriers(self.page) == [], f"at {width} pixels, {colours}"

    def photograph(self, name, near="header"):
        """Small pictures for the documentation, where somebody wants them."""
        if not WANTS_PICTURES:
            return
        PICTURES.mkdir(exist_ok=True)
        for shape, width, colours in (("wide", 1000, "light"), ("phone", 390, "dark")):
            if shape == "phone" and name not in ON_A_PHONE:
                continue
            self.page.set_viewport_size({"width": width, "height": 620})
            self.page.emulate_media(color_scheme=colours)
            self.page.locator(near).scroll_into_view_if_needed()
            self.page.screenshot(path=PICTURES / f"web-{name}-{shape}.png")


@contextlib.contextmanager
def visiting(browser, address, folder):
    """A visit; of one that took long, trace.zip says what was waited for, and what was asked then."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    context.tracing.start()
    began = time.monotonic()
    yield Visit(context, address)
    took_long = time.monotonic() - began > _LONG
    context.tracing.stop(path=folder / "trace.zip" if took_long else None)
    context.close()

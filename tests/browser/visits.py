"""Pages as somebody sees them: the shapes of a window, and what must hold in each."""

import pytest

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

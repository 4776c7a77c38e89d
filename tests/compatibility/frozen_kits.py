"""A pytest plugin: ``pvefw.testing`` is that of another release, and only kits are run.

``-p frozen_kits`` with the folder of its ``testing`` in ``PVEFW_FROZEN_KITS``.
"""

import os

import pytest

import pvefw.testing

FOLDER = os.environ["PVEFW_FROZEN_KITS"]
pvefw.testing.__path__ = [FOLDER]


def is_of_a_kit(item: pytest.Item) -> bool:
    bases = getattr(getattr(item, "cls", None), "__mro__", ())
    return any(base.__module__.startswith("pvefw.testing.") for base in bases)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = [item for item in items if not is_of_a_kit(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if is_of_a_kit(item)]


def pytest_report_header() -> str:
    from pvefw.testing import fakes

    return f"kits of {fakes.__file__}"

"""Distributions that are installed for one test: a directory on ``sys.path`` with metadata and code."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., str]

GOOD_DNS = """
    from dataclasses import dataclass
    from pvefw.api import hookimpl, setting

    @dataclass
    class Plugin:
        '''A DNS provider for tests.'''

        token: str = setting(help="The token.", secret=True)
        ttl: int = setting(help="Seconds.", default=60)

        @hookimpl
        def dns_add(self, zone, records, task):
            task.log(f"using {self.token}")

        @hookimpl
        def dns_remove(self, records):
            pass
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose distributions count as installed, also for child processes."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setenv("PYTHONPATH", str(directory))
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        if name.startswith("dist_"):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Installs a distribution with one plugin: ``install("dns", "acme", CODE)``."""

    def do(
        family: str,
        name: str,
        code: str = GOOD_DNS,
        *,
        distribution: str = "",
        requires: str | None = "pvefw>=1,<2",
        target: str = "Plugin",
    ) -> str:
        distribution = distribution or f"dist-{name}"
        module = distribution.replace("-", "_")
        info = site / f"{module}-1.5.dist-info"
        info.mkdir()
        required = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n{required}"
        )
        (info / "entry_points.txt").write_text(f"[pvefw.{family}]\n{name} = {module}:{target}\n")
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        return distribution

    return do

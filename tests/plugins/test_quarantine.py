"""One broken plugin, of any family and in any way, concerns only whoever asks for it."""

import os
import subprocess
import sys

import pytest

from pvefw.boot import loaders
from pvefw.core import binding, families
from pvefw.core.errors import PluginBroken
from pvefw.store.paths import Paths

FAMILIES = list(families.FAMILIES)
CODE = {
    "syntax": "def broken(:",
    "dependency": "import no_such_library_anywhere",
    "raises": "raise RuntimeError('no licence')",
    "exits": "import sys; sys.exit(0)",
    "vanishes": "import os; os._exit(0)",
    "hangs": "import threading; threading.Event().wait()",
    "nothing": "",
    "twice": "class Plugin: ...",
}
SAYS = {
    "syntax": "SyntaxError",
    "dependency": "ModuleNotFoundError: No module named 'no_such_library_anywhere'",
    "raises": "RuntimeError: no licence",
    "exits": "SystemExit: 0",
    "vanishes": "SystemExit: os._exit(0)",
    "hangs": "its import does not end",
    "nothing": "AttributeError",
    "twice": "is offered by dist-{0} 1.5 and dist-{0}-again 1.5",
}


FINE_LOADER = """
    from dataclasses import dataclass
    from pvefw.api import hookimpl

    @dataclass
    class Plugin:
        @hookimpl
        def boot_firmware(self): ...
        @hookimpl
        def boot_probe(self): ...
        @hookimpl
        def boot_install(self): ...
        @hookimpl
        def boot_render(self): ...
"""


def name(family, kind):
    return f"{kind}-{family.replace('_', '-')}"


@pytest.fixture
def break_(install, site, monkeypatch):
    """Installs a broken plugin, whose import leaves a mark; one that hangs alone is not waited for."""

    def do(family, kind, *, alone=True):
        called = name(family, kind)
        if kind == "hangs" and alone:
            monkeypatch.setenv("PVEFW_PLUGIN_TIMEOUT", "2")
        mark = f"from pathlib import Path\nPath({str(site / 'imported')!r}).touch()\n"
        code = CODE[kind] if kind == "syntax" else mark + CODE[kind]
        install(family, called, code)
        if kind == "twice":
            install(family, called, code, distribution=f"dist-{called}-again")
        return called

    do.imported = (site / "imported").exists
    return do


def pvefw(tmp_path, *arguments):
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pvefw", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PVEFW_ROOT": str(root), "PVEFW_NODE": "pve1"},
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("kind", CODE)
@pytest.mark.parametrize("family", FAMILIES)
def test_who_asks_for_it_is_told_whom_to_mend(break_, family, kind):
    called = break_(family, kind)
    with pytest.raises(PluginBroken) as caught:
        binding.bind(families.FAMILIES[family], called, {})
    assert SAYS[kind].format(called) in caught.value.message
    assert f"dist-{called}" in caught.value.message
    assert caught.value.hint
    assert caught.value.plugin == f"{family}/{called}"


def test_commands_that_need_none_of_them_work_and_import_none(break_, tmp_path):
    """All of them are there at once, beside those that are shipped."""
    for family in FAMILIES:
        for kind in CODE:
            break_(family, kind, alone=False)
    data = tmp_path / "data"
    data.write_text("program=/bin/true\n")
    for arguments in (
        ["--help"],
        ["config", "set", "--acmedomain0", "www.example.com"],
        ["config", "get"],
        ["task", "list"],
        ["cert", "info"],
        ["plugin", "list"],
        ["plugin", "show", "dns", "rfc2136"],
        ["observer", "add", "it", "--api", "exec", "--data", data],
        ["observer", "test", "it"],
        ["acme", "plugin", "add", "dns", "mine", "--api", "exec", "--data", data],
        ["acme", "plugin", "list"],
    ):
        done = pvefw(tmp_path, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    assert not break_.imported()


@pytest.mark.parametrize("kind", ["raises", "vanishes", "twice"])
def test_a_broken_catalogue_hides_no_provider_of_another_one(break_, tmp_path, kind):
    break_("dns_catalog", kind)
    for provider in ("lexicon/cloudflare", "cloudflare"):
        done = pvefw(tmp_path, "plugin", "show", "dns", provider)
        assert done.returncode == 0, done.stderr
        assert "auth_token" in done.stdout


@pytest.mark.parametrize("kind", ["raises", "vanishes", "hangs", "twice"])
def test_a_broken_boot_loader_keeps_no_other_from_work(break_, install, tmp_path, kind):
    install("bootloader", "fine", FINE_LOADER)
    called = break_("bootloader", kind)
    found = loaders.Loaders.load(Paths(tmp_path, "pve1"))
    assert "fine" in found.bound
    assert f"dist-{called}" in found.failures[called].message


@pytest.mark.parametrize(
    ("family", "kind", "commands"),
    [
        ("dns", "raises", ["acme plugin add dns x --api {}"]),
        ("challenge", "syntax", ["acme plugin add challenge x --api {}"]),
        ("observer", "dependency", ["observer add x --api {}", "observer test x"]),
        ("guest", "exits", ["guest list"]),
        ("dns_catalog", "vanishes", ["plugin show dns {}/any"]),
        ("bootloader", "twice", ["plugin show bootloader {}"]),
    ],
)
def test_the_command_that_needs_it(break_, tmp_path, family, kind, commands):
    called = break_(family, kind)
    config = tmp_path / "root/etc/pve/pvefw.cfg"
    config.parent.mkdir(parents=True)
    if family == "guest":
        config.write_text(f"guest: {called}\n\tapi {called}\n")
    said = ""
    for command in commands:
        done = pvefw(tmp_path, *command.format(called).split())
        said += done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"dist-{called}" in said, said

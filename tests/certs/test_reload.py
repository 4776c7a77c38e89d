"""The service that is to use a new certificate, where it is stopped."""

import pytest
from certificates import NOW, Log, own, self_signed

from pvefw.certs import deploy, install
from pvefw.store import node_settings
from pvefw.store.paths import Paths

SYSTEMCTL = """#!/bin/sh
verb=$1; shift
case $verb in
show) cat {states} ;;
*) echo "$1 is not active, cannot $verb." >&2; exit 1 ;;
esac
"""
"""As systemctl(1) answers for a unit that does not run; tests/packages asks the real one."""
LOADED = {"missing": "not-found", "masked": "masked"}
STATES = dict.fromkeys(LOADED, "inactive")


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Installs a certificate and tells the service; what that said, and whom it could not tell."""
    program, states = tmp_path / "bin/systemctl", tmp_path / "states"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(states=states))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    def run(command, *said):
        shown = [
            f"LoadState={LOADED.get(answer, 'loaded')}\nActiveState={STATES.get(answer, answer)}\n"
            for answer in said
        ]
        states.write_text("\n".join(shown))
        paths, log = Paths(tmp_path / "root", "pve1"), Log()
        node_settings.change(paths, {"reload-command": command})
        deploy.prepare(own(paths))
        install.install_pair(own(paths), *self_signed(), log, NOW)
        return log, deploy.deploy(own(paths), log)

    return run


@pytest.mark.parametrize("states", [["inactive"], ["masked"], ["inactive", "inactive"]])
def test_stopped_services_are_not_a_failure(told, states):
    units = " ".join(["nginx", "haproxy"][: len(states)])
    log, failed = told(f"systemctl reload {units}", *states)
    assert list(failed) == []
    assert log.warnings == []
    assert any("stopped; it reads the certificate when it starts" in line for line in log.lines)


@pytest.mark.parametrize(
    ("command", "states"),
    [
        ("systemctl reload nginx", ["failed"]),
        ("systemctl reload nginx", ["active"]),
        ("systemctl reload ngnix", ["missing"]),
        ("systemctl reload nginx haproxy", ["inactive", "active"]),
        ("systemctl restart nginx", ["inactive"]),
        ("systemctl reload", []),
        ("systemctl reload nginx && false", ["inactive"] * 3),
        ("false", ["inactive"]),
    ],
)
def test_every_other_failure_is_one(told, command, states):
    _, failed = told(command, *states)
    assert list(failed) == ["reload-command"]

"""A new certificate lies where HAProxy reads it, and HAProxy is told."""

import pytest
from pvefw_observer_haproxy import Haproxy

from pvefw.testing.acme_server import certificate_files
from pvefw.testing.node import Node
from pvefw.testing.observer import ObserverConformance


@pytest.fixture
def target(tmp_path):
    return tmp_path / "site.pem"


@pytest.fixture
def reload(tmp_path):
    """Stands in for systemctl: notes that it was called, and fails while there is a file 'down'."""
    program = tmp_path / "reload"
    program.write_text(
        '#!/bin/sh\ncd "${0%/*}"\ntest ! -e down || exit 5\necho reloaded >> calls\n'
    )
    program.chmod(0o755)
    return program


class TestHaproxy(ObserverConformance):
    @pytest.fixture
    def plugin(self, target, reload):
        return Haproxy(target=target, reload=[str(reload)])

    @pytest.fixture
    def heard(self, target, tmp_path):
        def heard():
            calls = tmp_path / "calls"
            return target.exists() and target.read_bytes(), calls.exists() and calls.read_text()

        return heard

    @pytest.fixture
    def broken_plugin(self, target):
        return Haproxy(target=target, reload=["/bin/false"])


def test_a_deployment_that_fails_is_tried_again(tmp_path, target, reload):
    node = Node(tmp_path)
    node.add("observer", "haproxy", api="haproxy-reload", target=target, reload=reload)
    (tmp_path / "down").touch()
    said = node.run("cert", "set", *certificate_files(tmp_path, "pve1.example.test"))
    assert "WARN" in said
    assert not (tmp_path / "calls").exists()

    (tmp_path / "down").unlink()
    node.run("cert", "deploy", "--retry")
    assert (tmp_path / "calls").read_text() == "reloaded\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_text().count("BEGIN") == 3, "certificate, its issuer, key"

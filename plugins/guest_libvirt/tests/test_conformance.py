"""The conformance kit, with real guests."""

import pytest

from pvefw.api import GuestState
from pvefw.testing.guest import GuestConformance


class TestLibvirt(GuestConformance):
    @pytest.fixture
    def plugin(self, host):
        for name in ("deaf", "web0", "web1"):
            host.daemon.define(name, deaf=name == "deaf")
        return host.plugin()

    @pytest.fixture
    def broken_plugin(self, host, tmp_path):
        return host.plugin(uri=f"qemu+unix:///session?socket={tmp_path}/no-such-socket")

    @pytest.fixture
    def vmids(self, host, plugin):
        by_name = {guest.name: guest.vmid for guest in plugin.guest_list()}
        return [by_name["web0"], by_name["web1"]]

    @pytest.fixture
    def stubborn(self, plugin):
        return next(guest.vmid for guest in plugin.guest_list() if guest.name == "deaf")

    @pytest.fixture
    def look(self, host, plugin):
        names = {guest.vmid: guest.name for guest in plugin.guest_list()}
        running, stopped = GuestState.RUNNING, GuestState.STOPPED
        return lambda vmid: running if names[vmid] in host.daemon.active() else stopped

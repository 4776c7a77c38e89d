"""Guests of libvirt: virtual machines, and LXC containers."""

from pvefw_guest_libvirt.guests import Libvirt

__all__ = ["Libvirt"]

"""Guests of Proxmox VE, through its API."""

from pvefw_guest_pve.guests import Pve

__all__ = ["Pve"]

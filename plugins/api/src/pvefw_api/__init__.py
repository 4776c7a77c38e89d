"""The management API of Proxmox VE, answered by pvefw: one table of endpoints, and the doors to it."""

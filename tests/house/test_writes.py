"""Every write goes through a handle: pvefw/host/foreign.py, or durable and store.files, which use it.

What is found here follows links by itself, or changes a mode by name: whoever owns the directory could
make root write elsewhere.
"""

import ast

import pytest
from environments import ROOT

PRIMITIVES = {"pvefw/host/foreign.py", "pvefw/host/durable.py", "pvefw/store/files.py"}
ALLOWED = {
    ("pvefw/cli/streams.py", "os.open"): "/dev/null",
    ("pvefw/cli/detached.py", "os.open"): "/dev/null",
    (
        "pvefw/store/leases.py",
        ".mkdir",
    ): "a cluster lock: a directory of pmxcfs, which has no links",
    ("pvefw/store/leases.py", ".rmdir"): "as above",
    ("pvefw/store/leases.py", "os.utime"): "as above",
    ("pvefw/store/last_copy.py", "os.utime"): "of an open file",
    ("pvefw/store/directory.py", ".mkdir"): "a lock, in a directory that is root's own",
    ("pvefw/store/directory.py", ".write_text"): "the note in it",
    ("pvefw/store/directory.py", ".rmdir"): "of one that we just made",
    ("pvefw/store/directory.py", ".rename"): "of a lock, to appear and go at once",
    ("pvefw/store/directory.py", "os.utime"): "of that note, or of a file that we just wrote",
    ("pvefw/store/directory.py", "shutil.rmtree"): "of a lock",
    ("pvefw/host/descriptors.py", "os.open"): "/dev/null",
    ("pvefw/boot/esp_files.py", "os.mkdir"): "from a handle",
    ("pvefw/scaffold/__init__.py", "tempfile.mkdtemp"): "a directory that the caller named",
    ("pvefw/scaffold/__init__.py", ".chmod"): "of that directory, which we just made",
    ("pvefw/scaffold/__init__.py", "shutil.rmtree"): "of that directory",
    ("pvefw/host/leftovers.py", "tempfile.mkdtemp"): "a directory that we just made",
    ("pvefw/host/leftovers.py", "shutil.rmtree"): "follows no links, and is in a sticky directory",
    ("pvefw/tasks/archive.py", ".unlink"): "of our own directory below /var/lib/pvefw",
    ("pvefw_api/calls.py", "tempfile.TemporaryDirectory"): "a directory that we just made, 0700",
    ("pvefw_api/calls.py", ".touch"): "in that directory",
    ("pvefw_api/calls.py", ".write_bytes"): "in that directory",
    ("pvefw_bootloader_systemd/variables.py", "os.open"): "efivarfs: the kernel's, without links",
    ("pvefw_bootloader_systemd/oneshot.py", ".write_text"): "variables.write_text",
    ("pvefw_bootloader_systemd/variables.py", ".unlink"): "efivarfs",
    (
        "pvefw_bootloader_grub/files.py",
        "os.open",
    ): "in place, no link followed: grubenv must not move",
}
METHODS = {
    *("write_text", "write_bytes", "mkdir", "touch", "chmod", "lchmod", "unlink", "rmdir"),
    *("symlink_to", "hardlink_to", "extractall"),
}
FUNCTIONS = {
    *(
        f"os.{name}"
        for name in [
            "replace",
            "rename",
            "chmod",
            "chown",
            "link",
            "symlink",
            "makedirs",
            "mkdir",
            "unlink",
        ]
    ),
    *("os.rmdir", "os.remove", "os.truncate", "os.utime", "os.mkfifo", "os.mknod", "os.renames"),
    *("os.removedirs", "os.lchown", "os.setxattr", "os.removexattr"),
    *("shutil.copy", "shutil.copyfile", "shutil.copy2", "shutil.move", "shutil.rmtree"),
    *("shutil.copymode", "shutil.copystat", "shutil.unpack_archive", "shutil.make_archive"),
    *("shutil.copytree", "shutil.chown", "tempfile.mkdtemp", "tempfile.mkstemp"),
    *("tempfile.NamedTemporaryFile", "tempfile.TemporaryDirectory"),
}
FILES = [
    *ROOT.glob("pvefw/**/*.py"),
    *ROOT.glob("plugins/*/src/**/*.py"),
    *ROOT.glob("shims/src/**/*.py"),
]


def names_of(tree):
    """What the names that a module imports mean: ``from os import replace as put``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.asname: name.name for name in node.names if name.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return found


def writes(source):
    """What in Python code writes to a file by its name, at once or handed on as a function."""
    tree = ast.parse(source)
    imported = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            name = imported.get(first, first) + dot + rest
            if name in FUNCTIONS:
                yield name
            continue
        if not isinstance(node, ast.Call):
            continue
        first, dot, rest = ast.unparse(node.func).partition(".")
        name = imported.get(first, first) + dot + rest
        method = getattr(node.func, "attr", "")
        if name == "os.open" and "O_RDONLY" not in ast.unparse(node):
            yield name
        elif method in METHODS and not name.startswith(("os.", "shutil.", "tempfile.")):
            yield f".{method}"
        elif method in ("replace", "rename") and len(node.args) == 1 and not node.keywords:
            yield f".{method}"  # of a path: that of a text, or from a handle, has two arguments
        elif (method or name) == "open" and any(
            isinstance(argument, ast.Constant)
            and isinstance(argument.value, str)
            and set(argument.value) & set("wax+")
            and set(argument.value) <= set("rwaxbt+")
            for argument in [*node.args, *(key.value for key in node.keywords if key.arg == "mode")]
        ):
            yield ".open"


def test_every_write_goes_through_a_primitive():
    found = set()
    for path in FILES:
        name = str(path.relative_to(ROOT))
        if name in PRIMITIVES or name.startswith("pvefw/testing/"):
            continue
        short = name.partition("/src/")[2] or name
        found |= {(short, call) for call in writes(path.read_text())}
    assert sorted(found - {*ALLOWED}) == []
    assert sorted({*ALLOWED} - found) == [], "these are not needed any more"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("path.write_text(x)", True),
        ("path.open('w')", True),
        ("open(path, 'ab')", True),
        ("open(path, mode='r+')", True),
        ("path.open('rb')", False),
        ("os.open(path, os.O_WRONLY)", True),
        ("os.open(path, flags)", True),
        ("os.open(path, os.O_RDONLY | os.O_CLOEXEC)", False),
        ("staged.replace(target)", True),
        ("text.replace('a', 'b')", False),
        ("shutil.copyfile(a, b)", True),
        ("path.chmod(0o600)", True),
        ("path.rename(target)", True),
        ("there.rename(one, other)", False),
        ("path.hardlink_to(target)", True),
        ("os.link(a, b)", True),
        ("os.replace(a, b)", True),
        ("shutil.move(a, b)", True),
        ("from shutil import move\nmove(a, b)", True),
        ("from os import replace as put\nput(a, b)", True),
        ("import os as system\nsystem.rename(a, b)", True),
        ("import os\nfor one in names: do(os.unlink, one)", True),
        ("archive.extractall(path)", True),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert bool(list(writes(source))) is wrong

"""How long pvefw takes to start, against the bare interpreter of the same environment.

Aims, with 30 other distributions installed: `--version` within 2 times the bare interpreter, `--help`
within 4, `plugin list` within 6, the Tab key within 5. With 200 the same commands are measured again.
"""

import sys
import tempfile
from pathlib import Path

from measure import BIN, keep, seconds, side_by_side, table

REPEATS = 25
OTHERS = 200
COMMANDS = {
    "bare": [sys.executable, "-c", "pass"],
    "import click": [sys.executable, "-c", "import click"],
    "--version": [BIN / "pvefw", "--version"],
    "--help": [BIN / "pvefw", "--help"],
    "acme cert --help": [BIN / "pvefw", "acme", "cert", "--help"],
    "plugin list": [BIN / "pvefw", "plugin", "list"],
    **{
        f"Tab after: {line}": ["env", "_PVEFW_COMPLETE=bash", BIN / "pvefw", f"pvefw {line} "]
        for line in ("task log", "guest show", "config set -key-type", "acme plugin config")
    },
}


def install_others(site):
    """As many distributions with a plugin each as a very full host could have."""
    for number in range(OTHERS):
        name = f"pvefw_acme_dns_other{number}"
        info = site / f"{name}-1.0.0.dist-info"
        info.mkdir()
        requires = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0.0\nRequires-Dist: pvefw>=1,<2\n"
        (info / "METADATA").write_text(requires.format(name.replace("_", "-")))
        (info / "entry_points.txt").write_text(f"[pvefw.dns]\nother{number} = {name}:Provider\n")
        (site / f"{name}.py").write_text("raise SystemExit('a plugin that nobody asked for ran')\n")


def measure(env):
    """The median of each command, in seconds."""
    runs = {
        name: lambda argv=argv: seconds(argv, env=env, limit=60) for name, argv in COMMANDS.items()
    }
    side_by_side(runs, 2)  # byte code and caches as they are from the second time on
    return side_by_side(runs, REPEATS)


def main():
    with tempfile.TemporaryDirectory(prefix="pvefw-bench-") as folder:
        site = Path(folder)
        root = site / "root"
        root.mkdir()
        env = {"PVEFW_ROOT": str(root)}
        alone = measure(env)
        install_others(site)
        crowded = measure({**env, "PYTHONPATH": str(site)})
    times = {
        "alone": {name: value / alone["bare"] for name, value in alone.items()},
        "crowded": {name: value / crowded["bare"] for name, value in crowded.items()},
    }
    print(
        f"Process start: ms, and how many times the bare interpreter; with {OTHERS} other plugins"
    )
    rows = []
    for name in COMMANDS:
        columns = [f"{alone[name] * 1000:.0f}", f"{times['alone'][name]:.1f}"]
        columns += [f"{crowded[name] * 1000:.0f}", f"{times['crowded'][name]:.1f}"]
        rows.append([name, *columns])
    table(rows, ["command", "ms", "times", "ms, crowded", "times"])
    seconds_taken = {"alone": alone, "crowded": crowded}
    keep("startup", {"seconds": seconds_taken, "times_the_bare_interpreter": times})


if __name__ == "__main__":
    main()

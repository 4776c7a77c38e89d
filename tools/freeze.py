"""Keep what plugins rely on, as it is in this release, for tests/compatibility.

    make freeze

Writes tests/compatibility/MAJOR.MINOR: ``testing``, the kits and fakes word for word, and ``api.json``,
the names, hooks, arguments and fields of the plugin API. Run it when a release is made, and then never
again for that version: later ones are checked against it. An ``api.json`` that exists is never
overwritten: what was promised is taken back only by hand, with a reason.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import plugin_api

import pvefw

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the kits of this version; the API of a version that is kept already stays as it was kept."""
    version = ".".join(pvefw.__version__.split(".")[:2])
    folder = ROOT / "tests/compatibility" / version
    shutil.rmtree(folder / "testing", ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pvefw/testing", folder / "testing", ignore=ignored)
    kept = folder / "api.json"
    if not kept.exists():
        kept.write_text(f"{json.dumps(plugin_api.described(), indent=1, sort_keys=True)}\n")


if __name__ == "__main__":
    main()

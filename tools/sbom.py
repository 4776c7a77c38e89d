"""What is in the Debian package, for those who look for known faults: a CycloneDX 1.5 document.

It is made from what was installed into the package, by tools/deb.py, and lies beside it. Scanners of
others read it without a network of ours.
"""

import json
import re
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_NAMESPACE = uuid.UUID("8d1e8a55-0a36-5d0c-9a55-6f0d0f2c9d11")


def document(library: Path, package: str, version: str) -> dict[str, Any]:
    """The bill of materials of a package.

    :param library: where its distributions are installed.
    :returns: the same for the same content, whenever it is made.
    """
    components = sorted(_components(library), key=lambda component: str(component["bom-ref"]))
    seed = json.dumps([package, version, components], sort_keys=True)
    main = {"type": "application", "bom-ref": package, "name": package, "version": version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid5(_NAMESPACE, seed).urn,
        "version": 1,
        "metadata": {"component": main},
        "components": components,
        "dependencies": [
            {"ref": package, "dependsOn": [component["bom-ref"] for component in components]}
        ],
    }


def write(library: Path, made: Path, package: str, version: str) -> Path:
    """Write it beside a package.

    :param made: the package.
    """
    target = made.with_suffix(".cdx.json")
    target.write_text(f"{json.dumps(document(library, package, version), indent=2)}\n")
    return target


def _components(library: Path) -> Iterator[dict[str, Any]]:
    for distribution in distributions(path=[str(library)]):
        name = re.sub(
            r"[-_.]+", "-", distribution.name
        ).lower()  # as indexes compare names (PEP 503)
        url = f"pkg:pypi/{name}@{distribution.version}"
        component = {
            "type": "library",
            "bom-ref": url,
            "name": distribution.name,
            "version": distribution.version,
            "purl": url,
        }
        licence = _licence(distribution)
        yield {**component, "licenses": [licence]} if licence else component


def _licence(distribution: Distribution) -> dict[str, Any]:
    """The licence as its metadata has it: an SPDX expression, or a name."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return {"expression": metadata["License-Expression"]}
    name = metadata["License"].strip().partition("\n")[0] if "License" in metadata else ""
    return {"license": {"name": name}} if name else {}

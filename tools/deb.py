"""Build the Debian packages pvefw, pvefw-shims and cockpit-pvefw into dist/ (deb(5), deb-control(5)),
and a list of what is in the first (CycloneDX) beside it.

    python tools/deb.py [DIRECTORY [WHEELS]]

WHEELS are what tools/dist.py has built; without them it is run.

pvefw's package holds the core, the plugins of this repository and every library that they need, below
/usr/lib/pvefw, so it depends on nothing but programs of Debian's. The exception is libvirt's binding: it
has to fit the host's library, so it is Debian's python3-libvirt.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import requires
from pathlib import Path
from venv import ROOT

import hashed
import sbom
from packaging.requirements import Requirement

import dist
from pvefw import __version__
from pvefw.boot import hooks as boot_hooks
from pvefw.certs import following, timer
from pvefw.guests import units as guest_units
from pvefw_api_server import units as api_units

DEBIAN = ROOT / "packaging/debian"
PAGE = ROOT / "plugins/api/page"
LIBRARY = "usr/lib/pvefw"
SHIMS = "usr/lib/pvefw-shims"
PROGRAM = "/usr/bin/pvefw"
_EPOCH = 1577836800  # what the build tool writes into wheels, too: the same sources, the same bytes
_OF_THE_HOST = ("pvefw_guest_libvirt",)
_LAUNCHER = """\
#!/usr/bin/python3 -IB
import sys

sys.path[:0] = {path}
from {module} import {function}

{function}()
"""


def launcher(module: str, function: str, *more: str) -> str:
    """A program that runs a function of ours.

    :param more: folders to look for it in, beside ours and where plugins of third parties are installed.
    """
    path = json.dumps([f"/{folder}" for folder in (*more, LIBRARY, "usr/local/lib/pvefw")])
    return _LAUNCHER.format(path=path, module=module, function=function)


def write(path: Path, data: str | bytes, mode: int = 0o644) -> None:
    """Write a file of the package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)


def install_libraries(wheels: Path, target: Path) -> None:
    """Install the wheels and what they need."""
    every = [
        path for path in sorted(wheels.glob("*.whl")) if not path.name.startswith("pvefw_shims-")
    ]
    ours = {path.name.partition("-")[0] for path in every}
    into = ["--no-compile", "--target", str(target)]
    hashed.install(sys.executable, sorted(libraries(ours - set(_OF_THE_HOST))), *into)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    subprocess.run([*pip, *into, "--no-deps", *every], check=True)
    tidy(target)


def libraries(projects: Iterable[str]) -> set[str]:
    """The names of all the libraries of others that projects of ours need; this environment has them."""
    todo, needed = list(projects), set[str]()
    while todo:
        for text in requires(todo.pop()) or []:
            requirement = Requirement(text)
            name = hashed.normalized(requirement.name)
            if name not in needed and (
                requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ):
                needed.add(name)
                todo.append(name)
    return {library for library in needed if not library.startswith("pvefw")}


def tidy(target: Path) -> None:
    """Remove what pip installs for itself: its notes name places of this machine."""
    for ballast in ("bin", "share"):
        shutil.rmtree(target / ballast, ignore_errors=True)
    for note in ("direct_url.json", "RECORD", "REQUESTED"):
        for path in target.glob(f"*.dist-info/{note}"):
            path.unlink()


def unit_texts() -> dict[str, str]:
    """Every systemd unit that pvefw has, by name."""
    return {
        name: text
        for part in (timer, following, guest_units, boot_hooks, api_units)
        for name, text in part.texts(PROGRAM).items()
    }


def share_files(target: Path) -> None:
    """Manual pages, compressed, and completions, where Debian's shells look for them."""
    for source in (path for path in (ROOT / "share").rglob("*") if path.is_file()):
        name, data = source.relative_to(ROOT / "share").as_posix(), source.read_bytes()
        if name.startswith("man/"):
            name, data = f"{name}.gz", gzip.compress(data, mtime=0)
        write(target / name.replace("zsh/site-functions", "zsh/vendor-completions"), data)


def fill(tree: Path, wheels: Path) -> None:
    """Everything that pvefw's package installs."""
    install_libraries(wheels, tree / LIBRARY)
    write(tree / PROGRAM.lstrip("/"), launcher("pvefw.cli", "main"), 0o755)
    share_files(tree / "usr/share")
    fill_page(tree)
    for name, text in unit_texts().items():
        write(tree / "usr/lib/systemd/system" / name, text)
    write(tree / "usr/share/doc/pvefw/README.md", (ROOT / "README.md").read_bytes())
    write(tree / "usr/share/doc/pvefw/copyright", (DEBIAN / "copyright").read_bytes())


def fill_page(tree: Path, package: str = "") -> None:
    """The page, where Cockpit looks for it.

    :param package: the package that has nothing else.
    """
    for path in PAGE.iterdir():
        write(tree / "usr/share/cockpit/pvefw" / path.name, path.read_bytes())
    if package:
        write(tree / f"usr/share/doc/{package}/copyright", (DEBIAN / "copyright").read_bytes())


def fill_shims(tree: Path, wheels: Path) -> None:
    """Everything that the shims' package installs."""
    wheel = next(wheels.glob("pvefw_shims-*.whl"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    target = tree / SHIMS
    subprocess.run([*pip, "--no-compile", "--no-deps", "--target", target, wheel], check=True)
    tidy(target)
    for name in ("pvenode", "pvesh"):
        write(tree / "usr/bin" / name, launcher(f"pvefw_shims.{name}", "main", SHIMS), 0o755)
    boot_tool = launcher("pvefw_shims.proxmox_boot_tool", "main", SHIMS)
    write(tree / "usr/sbin/proxmox-boot-tool", boot_tool, 0o755)
    write(tree / "usr/share/doc/pvefw-shims/copyright", (DEBIAN / "copyright").read_bytes())


def pack(tree: Path, control: str, scripts: Mapping[str, str], target: Path) -> Path:
    """Make the package of a tree.

    :returns: the package.
    """
    files = [path for path in sorted(tree.rglob("*")) if path.is_file()]
    size = sum(file.stat().st_size for file in files) // 1024
    major, minor = sys.version_info[:2]
    asked = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    text = control.format(
        version=__version__,
        architecture=asked.stdout.strip(),
        size=size,
        python=f"{major}.{minor}",
        next_python=f"{major}.{minor + 1}",
    )
    write(tree / "DEBIAN/control", text)
    for name, script in scripts.items():
        write(tree / "DEBIAN" / name, script, 0o644 if name == "triggers" else 0o755)
    for path in tree.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(" "))
    made = target / f"{fields['Package']}_{fields['Version']}_{fields['Architecture']}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, made],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(_EPOCH)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return made


def scripts() -> dict[str, str]:
    """The package's maintainer scripts and triggers (deb-postinst(5), deb-triggers(5)), by name."""
    replaced = {
        "UNITS": " ".join(unit_texts()),
        "HOOKS": " ".join(
            f"/{script}" for script in (*boot_hooks.scripts(PROGRAM), boot_hooks.SNIPPET)
        ),
    }
    texts = {}
    for name in ("postinst", "prerm", "postrm", "triggers"):
        texts[name] = (DEBIAN / name).read_text()
        for word, value in replaced.items():
            texts[name] = texts[name].replace(word, value)
    return texts


def main(target: Path, wheels: Path | None = None) -> str | None:
    """Build all packages.

    :param wheels: a folder with those of this repository; without it they are built.
    :returns: ``None``, or the sentence that says what could not be built.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wheels is None:
            wheels = folder / "wheels"
            problem = dist.main(wheels)
            if problem:
                return problem
        try:
            fill(folder / "pvefw", wheels)
            fill_shims(folder / "shims", wheels)
            control = (DEBIAN / "control").read_text()
            made = pack(folder / "pvefw", control, scripts(), target)
            print(made)
            print(sbom.write(folder / "pvefw" / LIBRARY, made, "pvefw", __version__))
            print(pack(folder / "shims", (DEBIAN / "control-shims").read_text(), {}, target))
            fill_page(folder / "page", "cockpit-pvefw")
            print(pack(folder / "page", (DEBIAN / "control-page").read_text(), {}, target))
        except hashed.RefusedError as error:
            return str(error)
        except subprocess.CalledProcessError as error:
            return f"{error.cmd[0]} failed, so there is no package"
    return None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:] or [str(ROOT / "dist")])))

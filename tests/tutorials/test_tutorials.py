"""The tutorials, done word for word: every file, every function, every command that they show, in order.

In a clean environment without network: ``python3 -m venv`` gives that environment, and ``pip`` builds and
installs what is there, without asking an index for anything.
"""

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from environments import ROOT, environment

PAGES = sorted(ROOT.glob("docs/tutorial-*.md"))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHIMS = {
    "pip": """#!/bin/bash
set -e
offline="--no-index --no-build-isolation"
case "$*" in
"install pvefw[testing]") {python} -c "import pvefw.testing, pytest" ;;
"install --editable .[test]") {pip} --python {python} install -q --no-deps $offline --editable . ;;
wheel*) {pip} "$@" $offline ;;
*) echo "the tutorial may not: pip $*" >&2; exit 9 ;;
esac
""",
    "pytest": '#!/bin/bash\nexec {python} -m pytest -p no:xdist -p no:hypothesispytest "$@"\n',
}


class Newcomer:
    """Reads a page from its top, and does what it says."""

    def __init__(self, page: str, folder: Path, shims: Path):
        self.page = page
        self.folder = folder
        root = folder.parent / "root"
        root.mkdir(exist_ok=True)
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
            "PATH": f"{shims}:{shims.parent / 'environment/bin'}:{os.environ['PATH']}",
            "PVEFW_ROOT": str(root),
        }
        self.done: list[str] = []

    def follow(self):
        for block in _BLOCK.finditer(self.page):
            kind, text = block.groups()
            before = self.page[: block.start()]
            if kind == "console":
                self.type(text)
            elif kind == "python":
                self.edit(text, before)
            else:
                raise AssertionError(f"nobody knows what to do with a block of {kind}")

    def type(self, text: str):
        """Type the commands of a block, and compare what they print."""
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            self.done.append(command)
            if command.startswith("python3 -m venv"):
                continue  # it already exists
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ")
                continue
            said = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.env,
                capture_output=True,
                text=True,
                check=False,
            )
            output = said.stdout + said.stderr
            begins_the_work = "Write " in expected
            assert (said.returncode == 0) is not begins_the_work, f"{command}:\n{output}"
            self.compare(command, expected, output)

    @staticmethod
    def compare(command: str, expected: str, output: str):
        """Every line that is shown is printed, in this order; ``…`` is anything."""
        left = iter(output.splitlines())
        for line in expected.splitlines():
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            assert any(re.fullmatch(pattern, line_) for line_ in left), (
                f"{command}: {line}\n{output}"
            )

    def edit(self, text: str, before: str):
        """A file that the page names, functions that replace those of their names, or an import."""
        sentence = before.rstrip().rpartition("\n\n")[2]
        named = re.fullmatch(r"`([\w./]+)`:", sentence)
        if named:
            (self.folder / named[1]).write_text(text)
            return
        file = self.folder / re.findall(r"`((?:src|tests)/[\w./]+\.py)`", before)[-1]
        if "def " not in text:
            assert "below `import re`" in sentence
            file.write_text(file.read_text().replace("import re\n", f"import re\n{text}", 1))
            return
        for part in re.split(r"\n{2,}(?=def |@)", textwrap.dedent(text).rstrip("\n")):
            replace_function(file, part)


def replace_function(file: Path, code: str):
    """Put a function in the place of the one that has its name, as deep as that one stands."""
    [name] = re.findall(r"^ *def (\w+)\(", code, re.MULTILINE)
    source = file.read_text()
    lines = source.splitlines(keepends=True)
    [old] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    first = min([old.lineno, *(decorator.lineno for decorator in old.decorator_list)])
    lines[first - 1 : old.end_lineno] = [textwrap.indent(f"{code}\n", " " * old.col_offset)]
    file.write_text("".join(lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page_: page_.stem)
def test_a_newcomer_gets_there(page, pvefw_wheel, tmp_path):
    clean = environment(tmp_path / "environment", pvefw_wheel)
    shims = tmp_path / "shims"
    shims.mkdir()
    pip = f"{sys.executable} -m pip --disable-pip-version-check"
    for name, text in _SHIMS.items():
        (shims / name).write_text(text.replace("{python}", str(clean.python)).replace("{pip}", pip))
        (shims / name).chmod(0o755)
    (tmp_path / "folder").mkdir()
    newcomer = Newcomer(page.read_text(), tmp_path / "folder", shims)
    newcomer.follow()
    assert [command for command in newcomer.done if command.startswith("pvefw plugin new")]
    assert "pvefw plugin doctor" in newcomer.done


def test_both_tutorials_are_there():
    assert [page.stem for page in PAGES] == ["tutorial-bootloader", "tutorial-dns"]

"""Every command that a page shows exists, with these arguments and options."""

import ast
import os
import re
import shlex

import click
import pytest
from environments import ROOT
from pages import PAGES, PROGRAMS, named, typed

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW

MODULES = [
    path
    for folder in ("pvefw", "plugins", "shims", "examples", "tools")
    for path in ROOT.glob(f"{folder}/**/*.py")
    if "tests" not in path.parts
]
WHERE = {"pvefw": [], "pvenode": [], "proxmox-boot-tool": ["boot"]}


def of_ours(line):
    """The command lines of our programs in what is typed into a shell: each a list of words."""
    line = re.sub(r"\$\([^)]*\)", "0", line.replace("\\\n", " "))
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found = [[]]
    for word in words:
        if set(word) <= set("();<>|&"):
            found.append([])
        else:
            found[-1].append(word)
    return [typed_words for typed_words in found if typed_words[:1] and typed_words[0] in PROGRAMS]


def parse(arguments):
    """Parse a command line down to its command, and run nothing.

    :raises click.UsageError: the command line would be refused, or is a group's that shows its help.
    """
    command, ctx = PVEFW, PVEFW.make_context("pvefw", list(arguments), obj=App())
    while isinstance(command, click.Group) and (rest := [*ctx._protected_args, *ctx.args]):
        name, command, rest = command.resolve_command(ctx, rest)
        ctx = command.make_context(name, rest, parent=ctx)


def fault(program, *arguments):
    """What is wrong with a command line, or None."""
    try:
        parse([*WHERE[program], *arguments])
    except click.exceptions.Exit:
        return None  # --help, --version
    except click.exceptions.NoArgsIsHelpError as error:
        return f"{error.ctx.command_path} is a group"
    except click.UsageError as error:
        return None if _depends_on_the_host(error, arguments) else error.format_message()
    return None


def _depends_on_the_host(error, arguments):
    """A file that is not here, or a placeholder such as SECONDS, for a value of another type."""
    placeholder = any(re.fullmatch(r"[A-Z]+", argument) for argument in arguments)
    invalid = type(error) is click.BadParameter
    return invalid and (placeholder or "does not exist" in error.message)


def strings(module):
    """Every text in a module, with its line; ``ARGUMENT`` stands for what is put in."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = (
                value.value if isinstance(value, ast.Constant) else "ARGUMENT"
                for value in node.values
            )
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def unknown(words):
    """The first word or option that is none of a command's, where a text names a command; or empty."""
    command, ctx = PVEFW, click.Context(PVEFW, info_name="pvefw", obj=App())
    while words and isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        found = command.get_command(ctx, words[0])
        if found is None:
            # "pvefw keeps …" is a sentence
            return "" if command is PVEFW else words[0]
        command, ctx = found, click.Context(found, parent=ctx, info_name=words.pop(0))
    options = {name for param in command.get_params(ctx) for name in param.opts}
    given = [word for word in words if re.fullmatch(r"--[a-z-]+", word)]
    return next((option for option in given if command is not PVEFW and option not in options), "")


def is_incomplete(error):
    """A sentence may name a group, and leave arguments and values out."""
    return error.startswith("Missing") or error.endswith((" is a group", "requires an argument."))


def test_commands_are_found():
    shown = {command.page for page in PAGES for command in typed(page)}
    assert {ROOT / "README.md", ROOT / "docs/admin.md", ROOT / "docs/tutorial-dns.md"} <= shown
    assert [command.output for command in typed(ROOT / "docs/moving.md")][:1] == [None]
    assert all(command.output is not None for command in typed(ROOT / "docs/boot.md"))
    assert of_ours("printf x | pvenode task list --since $(date +%s) && pvefw status # all") == [
        ["pvenode", "task", "list", "--since", "0"],
        ["pvefw", "status"],
    ]
    assert "No such command" in fault("pvefw", "boot", "nonsense")
    assert "No such option" in fault("proxmox-boot-tool", "init", "/dev/sda2", "--nonsense")


@pytest.fixture
def readable(monkeypatch):
    """The disks of this machine, of which some pages speak, too: they are root's to read."""
    monkeypatch.setattr(os, "access", lambda *_arguments, **_options: True)


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_shown_can_be_typed(page):
    faults = [
        f"{command}: {said}"
        for command in typed(page)
        for words in of_ours(command.command)
        if (said := fault(*words))
    ]
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_sentence_names_exists(page):
    faults = [
        f"{command}: {said}"
        for command in named(page)
        for words in of_ours(re.sub(r"[\[\]]", "", command.command))
        if (said := fault(*words)) and not is_incomplete(said)
    ]
    assert faults == []


def test_what_errors_and_help_name_exists():
    faults = [
        f"{module.relative_to(ROOT)}:{line}: {match[0]}: {word}"
        for module in MODULES
        for line, text in strings(module)
        for match in re.finditer(r"(?<![\w./-])pvefw ((?:[\w-]+(?: |$))+)", text)
        if (word := unknown(match[1].split()))
    ]
    assert faults == []


_COMMAND = re.compile(r"(?<![\w./`-])pvefw [a-z][^`]*?(?=[.;,)](?: |$)|$|\n| \(|`)")
_OF_ZSH = re.compile(r"[\[\]<>*?|…]")


def messages(module):
    """Every text of a module that is no docstring, with its line."""
    alone = {
        node.value.lineno
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [(line, text) for line, text in strings(module) if line not in alone]


def test_what_errors_name_can_be_pasted_into_zsh():
    """Brackets and the like would be patterns: ``zsh: no matches found``."""
    faults = [
        f"{module.relative_to(ROOT)}:{line}: {match[0]}"
        for module in MODULES
        if not {"testing", "tools"} & {*module.parts}
        for line, text in messages(module)
        for match in _COMMAND.finditer(text)
        if _OF_ZSH.search(re.sub(r"'[^']*'|>&2", "", match[0]))
    ]
    assert faults == []


GROUPS = "|".join(PVEFW.list_commands(click.Context(PVEFW)))
IN_A_SENTENCE = re.compile(rf": (?:printf|systemctl|apt-get|curl|pvefw (?:{GROUPS})) ")
"""A command that stands in the text as words do: whoever copies it copies the sentence."""


def test_commands_stand_on_lines_of_their_own():
    texts = {page: re.sub(r"(?ms)^```.*?^```", "", page.read_text()) for page in PAGES}
    assert len(texts) > 20
    places = [
        f"{page.relative_to(ROOT)}: {line}"
        for page, text in texts.items()
        for line in re.sub(r"(?s)`[^`]*`", "", text).splitlines()
        if not line.startswith(("    ", "|")) and IN_A_SENTENCE.search(line)
    ]
    assert places == []
    for sentence in (
        "its settings: printf 'port=8080' > settings pvefw acme",
        "so: pvefw acme plugin",
    ):
        assert IN_A_SENTENCE.search(sentence)

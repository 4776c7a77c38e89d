"""What makes a site of the repository's pages: mkdocs calls these functions (mkdocs.yml names this file).

The pages link to each other as they lie in the repository, so that they can be read there. In the site
the READMEs of the plugins, README.md and CONTRIBUTING.md are pages, too, and links lead to those. A link
to any other file of the repository becomes plain text; whether it leads somewhere is a test's affair.
"""

import os
import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(
    r"\[(?P<text>[^\]]+)\]"
    r"\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)"
)
_PLACES = (
    (re.compile(r"docs/(.+)"), r"\1"),
    (re.compile(r"(plugins|examples)/(\w+)(?:/README\.md)?"), r"\1/\2.md"),
    (re.compile(r"shims(?:/README\.md)?"), "shims.md"),
    (re.compile(r"README\.md"), "getting-started.md"),
    (re.compile(r"CONTRIBUTING\.md"), "contributing.md"),
)
"""Where a file of the repository is found in the site."""


def place(path: str) -> str | None:
    """Where a file of the repository is in the site; ``None`` where it is not."""
    for pattern, target in _PLACES:
        match = pattern.fullmatch(path)
        if match:
            return match.expand(target)
    return None


def relinked(markdown: str, source: str) -> str:
    """A page whose links lead to places in the site.

    :param source: where it lies in the repository.
    """
    here = PurePosixPath(place(source) or "").parent

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match["target"]))
        page = place(target)
        if page is None:
            return match["text"]
        return f"[{match['text']}]({posixpath.relpath(page, here)}{match['anchor'] or ''})"

    return _LINK.sub(link, markdown)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show the menu of versions where mike builds one of several (`make site-version`)."""
    if "MIKE_DOCS_VERSION" in os.environ:
        config.extra["version"] = {"provider": "mike"}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    outside = ["README.md", "CONTRIBUTING.md", "shims/README.md"]
    readmes = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("examples/*/README.md")]
    outside += [readme.relative_to(ROOT).as_posix() for readme in readmes]
    for source in outside:
        text = relinked((ROOT / source).read_text(), source)
        files.append(File.generated(config, place(source) or source, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' names
    """Mend the links of a page of docs/."""
    if page.file.generated_by:
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}")

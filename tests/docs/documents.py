"""The documentation as data: its blocks, commands, links, anchors and names of files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.checkout import ROOT

# The README of the other distribution has a test of its own, in tests/azureml_local.
PAGES = tuple(
    sorted(path for pattern in ("*.md", "docs/*.md", "tasks/data/sample/*.md") for path in ROOT.glob(pattern))
)
_PROGRAMS = ("uv ", "finetune ", "azureml-local ", "prefect ", "scripts/", "python -m ")
_MARKER = re.compile(r"<!-- command: (\S+) -->\s*")


@dataclass(frozen=True)
class Block:
    """A fenced block; `name` is that of the marker before it, for tests and `.ci/run` to look it up by."""

    page: Path
    line: int
    language: str
    text: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class Command:
    """One command of a shell block or of a code span, without what comes after it on the line."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words)}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def named(name: str) -> Block:
    """The one block under the marker of that name."""
    (block,) = (block for page in PAGES for block in _blocks(page) if block.name == name)
    return block


def commands() -> list[Command]:
    """What is to be typed: lines of shell blocks, what follows a `$`, and commands within sentences."""
    found = []
    for block in blocks("sh", "console"):
        for line in block.text.splitlines():
            if block.language == "sh" or line.startswith("$ "):
                found += [Command(str(block), words) for words in parts(line.removeprefix("$ "))]
    for page in PAGES:
        for text in spans(page):
            if text.startswith(_PROGRAMS):
                where = str(page.relative_to(ROOT))
                # Brackets are around the options that a command may have.
                found += [Command(where, words) for words in parts(re.sub(r"\[[^]]*\]", "", text))]
    return found


def parts(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, one after the other, without comments and without where their output goes."""
    for part in re.split(r";|&&|\|\|", line.partition(" #")[0]):
        words = tuple(shlex.split(part.split(" >")[0]))
        if words:
            yield words


def program(command: Command) -> tuple[str, ...]:
    """The words from the program on, without `uv run` and its own options."""
    words = command.words
    if words[:2] != ("uv", "run"):
        return words
    words = words[2:]
    while words[0].startswith("--"):
        words = words[2:] if words[0] in ("--extra", "--group", "--with") else words[1:]
    return words


def links(page: Path) -> list[str]:
    """Where its links and pictures lead."""
    where = {"link_open": "href", "image": "src"}
    return [str(token.attrs[where[token.type]]) for token in _inline(page) if token.type in where]


def spans(page: Path) -> list[str]:
    """Its code spans."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def anchors(page: Path) -> set[str]:
    """The ids that GitHub gives the headings."""
    tokens = _parsed(page)
    return {
        _slug("".join(part.content for part in after.children or ()))
        for before, after in zip(tokens, tokens[1:], strict=False)
        if before.type == "heading_open"
    }


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.casefold()).replace(" ", "-")


def _blocks(page: Path) -> Iterator[Block]:
    name: str | None = None
    for token in _parsed(page):
        if token.type == "fence":
            line = (token.map or [0])[0] + 1
            yield Block(page, line, token.info.strip(), token.content.rstrip("\n"), name)
        marker = _MARKER.fullmatch(token.content) if token.type == "html_block" else None
        name = marker[1] if marker else None


def _inline(page: Path) -> Iterator[Token]:
    for token in _parsed(page):
        yield from token.children or ()


def _parsed(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))

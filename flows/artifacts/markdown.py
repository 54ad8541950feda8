"""Markdown as Prefect's pages show it: tables whose cells hold any text, and quotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; the columns of `right`, by number, are aligned to the right."""
    numbers = set(right)
    rule = ["---:" if place in numbers else "---" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *(map(cell, row) for row in rows)))


def cell(text: str) -> str:
    """The text on one line, with what would end the cell escaped."""
    return " ".join(text.replace("|", "\\|").split())


def quoted(text: str) -> str:
    """The text as a quotation, its line breaks kept."""
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])

"""A table of things on stdout: fitted to a terminal, and a line for each thing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.padding import Padding
    from rich.table import Table

_WIDE = 400  # characters of a line where nothing is there to fit it to
_NARROWEST = 12  # characters that a column may be folded to: less of a name cannot be read
_GAP = 1  # between two columns


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], summary: str) -> None:
    """Print the rows, if there are any, and the line below them; what is in the first column stays whole.

    Where a terminal is too narrow for that, each row is a paragraph below what is in its first column.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    lines = list(rows)
    if lines and _least_width(columns, lines) > console.width:
        for head, *others in lines:
            console.print(Text(head, style="bold"), _paragraph(columns[1:], others), "", sep="\n")
    elif lines:
        console.print(_table(columns, lines))
    console.print(Text(summary, style="bold"))


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How wide a terminal must be for a table of these rows."""
    first, *others = (max(map(len, column)) for column in zip(columns, *rows, strict=True))
    return first + sum(_GAP + min(width, _NARROWEST) for width in others)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(Text, row))  # as it stands: a name may look like markup
    return table


def _paragraph(columns: Sequence[str], row: Sequence[str]) -> Padding:
    """A line for each column that is not empty, with its name."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in zip(columns, row, strict=True):
        if text:
            table.add_row(Text(name), Text(text))
    return Padding(table, (0, 0, 0, 2), expand=False)

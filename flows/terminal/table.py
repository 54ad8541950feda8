"""A table of things on stdout: fitted to a terminal, and a line for each thing elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_WIDE = 400  # characters of a line where nothing is there to fit it to


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], summary: str) -> None:
    """Print the rows, if there are any, and the line below them; what is in the first column stays whole."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(Text, row))  # as it stands: a name may look like markup
    if table.row_count:
        console.print(table)
    console.print(Text(summary, style="bold"))

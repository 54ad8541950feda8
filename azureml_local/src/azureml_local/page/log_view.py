"""What the page shows of a log: its end, or the lines in which a text is found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

TAIL = 64 * 2**10  # bytes
MOST_LINES = 500  # that are found; whoever searches for less wants the file


def tail(path: Path) -> str:
    """The last 64 KiB; empty where nothing was written yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(map(_last_state, text.split("\n")))


def search(path: Path, wanted: str) -> list[tuple[int, str]]:
    """The lines of the whole log that have the text in whatever case, with their numbers; 500 at most."""
    return list(islice(_lines_with(path, wanted.casefold()), MOST_LINES))


def _lines_with(path: Path, wanted: str) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                shown = _last_state(line.rstrip("\n"))
                if wanted in shown.casefold():
                    yield number, shown
    except FileNotFoundError:
        return


def _last_state(line: str) -> str:
    """Progress bars write the same line over and over; only its last state is worth showing."""
    return line.rstrip("\r").rsplit("\r", 1)[-1]

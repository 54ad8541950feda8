"""Every common layout, and every way to write rows with every common shape, gives all the conversations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.data.layouts import LAYOUTS, SHAPES, TEST, TRAIN, chats, is_same, read

# One layout for each way to write rows. A row's shape is known by what has become of it there, whatever the
# files are called and packed in: the other layouts have a quarter of the shapes each, in turn.
WAYS_TO_WRITE = {
    "jsonl",
    "json array",
    "json array over lines",
    "objects over lines in .jsonl",
    "object that holds the list",
    "list of lists",
    "csv",
    "parquet",
    "arrow stream",
    "arrow file",
    "list with a row a line",
    "pandas' columns",
    "pandas' table",
    "rows by their ids",
    "splits in one document",
}
OTHERS = 4


def shapes(layout: str) -> list[str]:
    """The shapes that are tried with a layout."""
    if layout == "list of lists":  # there are no columns, which the other shapes are known by
        return ["messages", "list of turns", "ShareGPT"]
    turn, every = list(LAYOUTS).index(layout), 1 if layout in WAYS_TO_WRITE else OTHERS
    return [name for number, name in enumerate(SHAPES) if (number + turn) % every == 0]


def test_every_way_to_write_rows_is_a_layout() -> None:
    assert LAYOUTS.keys() >= WAYS_TO_WRITE


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_shapes_are_read_from_every_layout(layout: str, tmp_path: Path) -> None:
    expected = chats(TRAIN) + chats(TEST, "test")
    wrong = []
    for number, name in enumerate(shapes(layout)):
        shape, folder = SHAPES[name], tmp_path / f"in-{number}"
        folder.mkdir()
        rows = [shape(chat) for chat in expected]
        source = LAYOUTS[layout](folder, rows[:TRAIN], rows[TRAIN:])
        if not is_same(read(source, tmp_path / "prepared"), expected):
            wrong.append(name)
    assert not wrong

"""Every common layout with every common shape gives the same conversations, all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.data.layouts import LAYOUTS, SHAPES, TEST, TRAIN, chats, is_same, read


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_shape_is_read_from_every_layout(layout: str, tmp_path: Path) -> None:
    expected = chats(TRAIN) + chats(TEST, "test")
    wrong = []
    for number, (name, shape) in enumerate(SHAPES.items()):
        if layout == "list of lists" and name not in ("messages", "list of turns", "ShareGPT"):
            continue  # there are no columns, which the other shapes are known by
        folder = tmp_path / f"in-{number}"
        folder.mkdir()
        rows = [shape(chat) for chat in expected]
        source = LAYOUTS[layout](folder, rows[:TRAIN], rows[TRAIN:])
        if not is_same(read(source, tmp_path / "prepared"), expected):
            wrong.append(name)
    assert not wrong

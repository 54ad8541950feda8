"""Tables of the command line, as wide as their terminal is."""

from __future__ import annotations

import re

import pytest

from flows.terminal import table

COLUMNS = ("model", "promoted", "gate", "job", "run", "serves")
ROW = (
    "SmolLM2-sample:1",
    "2026-11-26T17:50+00:00",
    "passed",
    "smollm2-b0350eb948b6",
    "4f1c2a90-8a51",
    "",
)


def shown(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a terminal of that width."""
    variables = {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    table.show(COLUMNS, [ROW, ROW], "2 versions")
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    return [line.rstrip() for line in out.splitlines()]


def test_a_terminal_that_is_too_narrow_for_columns_shows_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(60, monkeypatch, capsys)
    assert lines[:6] == [
        "SmolLM2-sample:1",
        "  promoted  2026-11-26T17:50+00:00",
        "  gate      passed",
        "  job       smollm2-b0350eb948b6",
        "  run       4f1c2a90-8a51",
        "",
    ]
    assert lines[6:] == [*lines[:6], "2 versions"]


def test_a_wider_one_folds_the_columns_after_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head, first, *_ = shown(80, monkeypatch, capsys)
    assert head.split() == list(COLUMNS)
    assert first.startswith("SmolLM2-sample:1 ")

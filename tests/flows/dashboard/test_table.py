"""The history as a table: what a column says, and which columns there is room for."""

from __future__ import annotations

import pytest

from flows.dashboard import table
from tests.support.synthetic import runs

RUNS = runs(60)


def test_every_run_is_a_line_with_every_column() -> None:
    found = table.lines(RUNS)
    assert len(found) == len(RUNS)
    names = {column.name for column in table.COLUMNS}
    assert all(names <= line.keys() for line in found)
    assert all(
        isinstance(text, str) and text for line in found for name, text in line.items() if name in names
    )


def test_a_line_names_why_a_run_failed() -> None:
    failed = next(run for run in RUNS if run.state == "failed")
    (line,) = table.lines([failed])
    assert line["outcome"] == f"{failed.failed_stage} {failed.cause}"


def test_stages_are_in_the_order_of_the_workflow() -> None:
    run = max(RUNS, key=lambda run: len(run.seconds_by_stage))
    turned = run.model_copy(update={"seconds_by_stage": dict(reversed(run.seconds_by_stage.items()))})
    assert table.stages(turned) == table.stages(run)
    assert table.stages(run).index("data") < table.stages(run).index("train")


def test_a_wider_terminal_shows_more_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[set[str]] = []
    for width in (100, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        table.show(RUNS[:3])
        head, *rest = capsys.readouterr().out.splitlines()
        shown.append({column.name for column in table.COLUMNS if column.name in head})
        assert len(rest) >= 3
        assert max(map(len, rest)) <= width
    assert shown[0] < shown[1]


def test_sixty_columns_show_whole_times_and_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    found = [run.model_copy(update={"recipe": "phi-4-ultrachat-of-the-night"}) for run in RUNS]
    table.show(found)
    _, *rest = capsys.readouterr().out.splitlines()
    assert len(rest) == len(found)  # no line is broken
    assert max(map(len, rest)) <= 60
    whole = {column.name: column.text for column in table.COLUMNS if column.name not in table.NAMES}
    for run, line in zip(found, rest, strict=True):
        for name in (table.WHEN, table.STATE, table.DURATION, table.COST):
            assert whole[name](run) in line
        assert "phi-4" in line


def test_no_run_is_a_line_that_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    table.show([])
    assert "finetune run local" in capsys.readouterr().out

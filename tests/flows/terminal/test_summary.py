"""The end of a run in the terminal, also of one that failed when its Prefect server had gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flows.run.report import RunReport
from flows.terminal.summary import summary

ROWS: dict[str, Any] = {
    "run": "1",
    "recipe": "tiny",
    "trigger": "ad hoc",
    "started": datetime(2026, 11, 27, tzinfo=UTC),
    "ended": datetime(2026, 11, 27, 1, tzinfo=UTC),
    "base_model": "tiny:1",
    "seconds": 3600.0,
    "seconds_by_stage": {"train": 3000.0},
}


def shown(capsys: pytest.CaptureFixture[str], **over: Any) -> dict[str, str]:
    """What stands beside each name in the frame."""
    summary(RunReport(**ROWS, **over), 12.0)
    title, *rows, _ = capsys.readouterr().err.splitlines()
    assert title.startswith(f"╭─ tiny: {over['outcome']} ─")
    return {name: text.strip(" │") for name, text in (row[2:].split("  ", 1) for row in rows)}


def test_a_run_that_failed_has_its_failure_and_nothing_that_it_did_not_get_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, outcome="failed", failure="No quota.", job="job-1") == {
        "failure": "No quota.",
        "job": "job-1",
        "stages": "train 3000.0 s",
        "together": "12 s",
    }


def test_a_run_that_completed_has_what_it_made(capsys: pytest.CaptureFixture[str]) -> None:
    made = {"model": "demo", "model_version": "7", "endpoint": "demo-1"}
    found = shown(capsys, outcome="completed", **made)
    assert (found["model"], found["endpoint"]) == ("demo:7", "demo-1")

"""The stages of a run where there is no terminal: a line when one begins, changes what it does, and ends."""

from __future__ import annotations

import io
import logging
import re
import signal
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import pytest
from prefect.exceptions import TerminationSignal

from flows.run.config import load
from flows.terminal.live import view
from tasks.core.stage import observed, report
from tasks.core.stages import Stage


def shown(capsys: pytest.CaptureFixture[str], run: Callable[[], None]) -> list[str]:
    """What is printed of a run, on stderr alone, without its seconds."""
    with view(load("local")):
        run()
    out, err = capsys.readouterr()
    assert out == ""
    return [re.sub(r"\(\d+\.\d s\)", "(s)", line) for line in err.splitlines()]


def test_a_stage_is_a_line_at_its_beginning_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with observed(Stage.DATA):
            pass

    head, *lines = shown(capsys, run)
    assert head.startswith("local: ")
    assert lines == ["● data", "✓ data (s)"]


def test_what_a_stage_does_is_said_once_however_its_log_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with observed(Stage.TRAIN):
            report("finetune: Running, $0.10 | step 1")
            report("finetune: Running, $0.20 | step 2")
            report("evaluate: Running, $0.30")

    assert shown(capsys, run)[1:] == [
        "● train",
        "● train: finetune: Running",
        "● train: evaluate: Running",
        "✓ train (s)",
    ]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ValueError("no\nmemory"), "✗ deploy (s): no"),
        (KeyboardInterrupt(), "■ deploy (s): interrupted by SIGINT"),
        (TerminationSignal(signal=signal.SIGTERM), "■ deploy (s): interrupted by SIGTERM"),
    ],
)
def test_how_a_stage_ends_is_said(capsys: pytest.CaptureFixture[str], error: BaseException, end: str) -> None:
    def run() -> None:
        with pytest.raises(BaseException), observed(Stage.DEPLOY):  # noqa: B017
            raise error

    assert shown(capsys, run)[-1] == end


def test_what_is_logged_beside_the_run_is_said_among_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with observed(Stage.DATA):
            logging.getLogger("finetune").warning("look at %s", "this " * 50)
            logging.getLogger("finetune").info("it is of no account")

    assert shown(capsys, run)[1:] == ["● data", f"look at {'this ' * 50}", "✓ data (s)"]


def test_a_long_detail_stays_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with observed(Stage.DATA):
            report("word " * 200)

    lines = shown(capsys, run)
    assert len(lines) == 4
    assert lines[2].endswith("…")


def test_a_narrow_terminal_cuts_what_a_stage_does_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    with redirect_stdout(io.StringIO()) as printed, view(load("local")), observed(Stage.BASE_MODEL):
        report("x" * 100)
        print("a dot of a library", flush=True)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err).splitlines()
    assert re.fullmatch(r"✓ base model +\d+\.\d s +x+… *", lines[-1])
    assert printed.getvalue() == "a dot of a library\n"
    assert "a dot of a library" not in lines


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_shown_reaches_the_terminal_whatever_takes_the_place_of_stderr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run guards its streams while it goes: a live view that writes into its own guard stands still."""
    terminal, guard = _Terminal(), _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with view(load("local")), redirect_stderr(guard):
        logging.getLogger().warning("look here")
        assert "look here" in terminal.getvalue()
    assert guard.getvalue() == ""

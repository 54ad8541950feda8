"""What a run prints when nobody reads it any more."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from tasks.core.output import unread
from tests.support.checkout import ROOT

_PRINTS = """
import logging, sys
from prefect.logging.handlers import PrefectConsoleHandler
from tasks.core import output
logging.getLogger("run").addHandler(PrefectConsoleHandler())
sys.stdin.read()  # until the reader of what follows is gone
with output.unread():
    for _ in range(3):
        print("a dot", flush=True)
        print("a dot", file=sys.stderr, flush=True)
        logging.getLogger("run").warning("a line")
import os
os._exit(7)
"""


@pytest.mark.slow
def test_neither_print_nor_prefects_log_ends_a_run_without_a_reader() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PRINTS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.close()
    assert process.wait() == 7


def test_colours_that_a_library_prints_come_through_to_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with unread():
        print("\x1b[39m\n", file=sys.stderr)  # what azure-ai-ml ends an upload with
        print("\x1b[31mred\x1b[39m", file=sys.stderr)
        print(file=sys.stderr)
    assert capsys.readouterr().err == "red\n\n"


def test_a_stream_that_outlives_the_one_below_it_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python says so at the end of a process from 3.13 on."""
    below = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", below)
    with unread():
        lasting = sys.stderr
    below.close()
    lasting.close()

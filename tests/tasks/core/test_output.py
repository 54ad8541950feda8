"""What a run prints when nobody reads it any more."""

from __future__ import annotations

import subprocess
import sys

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

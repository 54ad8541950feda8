"""The suite says so when a test leaves something behind, and ends it, however the suite itself ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.processes import runs
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow  # each test has a suite of its own

# The grace is for what ends by itself; nothing here does.
CONFTEST = "from tests.support import leftovers; leftovers.GRACE = 0.2"
SLEEP = "import subprocess; made = subprocess.Popen(['sleep', '1000'], start_new_session=True)"


def suite(folder: Path, *lines: str, workers: int = 0) -> subprocess.Popen[str]:
    """A suite of one test with these lines, run by a pytest of its own."""
    (folder / "conftest.py").write_text(CONFTEST)
    body = "\n".join(f"    {line}" for line in lines)
    (folder / "test_it.py").write_text(f"def test_it():\n{body}\n")
    (folder / "pytest.ini").write_text("[pytest]")
    plugins = ["-p", "no:cacheprovider", "-p", "tests.support.leftovers"]
    if workers:
        plugins += ["-p", "xdist", f"-n{workers}"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *plugins, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # it imports Hypothesis and schemathesis
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(made: subprocess.Popen[str]) -> str:
    return made.communicate(timeout=PATIENCE)[0]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (
            [
                "from threading import Event, Thread",
                "Thread(target=Event().wait, name='mine', daemon=True).start()",
            ],
            "thread mine",
        ),
        (
            ["import builtins, socket", "builtins.kept = socket.create_server(('127.0.0.1', 0))"],
            ", on which this process listens",
        ),
        ([SLEEP], "test_it.py::test_it (call): sleep 1000"),
        # Its parent ends at once, so that nothing leads from pytest to it any more.
        (["import os", "os.system('sleep 1000 & sleep 0')"], "test_it.py::test_it (call): sleep 1000"),
    ],
)
def test_what_a_module_leaves_fails_it(tmp_path: Path, lines: list[str], left: str) -> None:
    made = suite(tmp_path, *lines)
    output = said(made)
    assert made.returncode == 1
    assert "test_it.py has left behind:" in output
    assert left in output


def test_who_cleans_up_is_not_failed(tmp_path: Path) -> None:
    made = suite(tmp_path, SLEEP, "made.kill()", "made.wait()")
    assert "1 passed" in said(made)


@pytest.mark.parametrize(
    ("workers", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (0, signal.SIGINT), (0, signal.SIGTERM)]
)
def test_a_suite_that_is_ended_leaves_nothing_running(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    pid = tmp_path / "pid"
    note = f"import pathlib; pathlib.Path({str(pid)!r}).write_text(f'{{made.pid}} ')"
    made = suite(tmp_path, SLEEP, note, "import time; time.sleep(1000)", workers=workers)
    until(lambda: pid.exists() and pid.read_text().endswith(" "))
    assert runs(int(pid.read_text()))
    made.send_signal(number)
    said(made)
    until(lambda: not runs(int(pid.read_text())))

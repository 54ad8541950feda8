"""Detached processes: their output, exit status, process trees, and being found again."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from pathlib import Path

import psutil
import pytest

from azureml_local.execution.process import LOST, Detached
from tests.support.processes import runs
from tests.support.waiting import until


def _has_ended(process: Detached) -> bool:
    return process.exit_code() is not None


def start(directory: Path, command: str) -> Detached:
    return Detached.start(
        directory,
        ["/bin/sh", "-c", command],
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        log=directory / "log.txt",
    )


@pytest.mark.parametrize("status", [0, 3])
def test_exit_status_and_output(tmp_path: Path, status: int) -> None:
    process = start(tmp_path, f"echo out; echo err >&2; exit {status}")
    until(lambda: process.exit_code() is not None)
    assert process.exit_code() == status
    assert (tmp_path / "log.txt").read_text() == "out\nerr\n"


def test_a_process_shows_how_it_is_found_again_as_soon_as_it_is_started(tmp_path: Path) -> None:
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    for number in range(20):
        directory = tmp_path / str(number)
        directory.mkdir()
        process = start(directory, "sleep 60")
        pid = children.read_text().split()[-1]
        assert str(directory) in Path(f"/proc/{pid}/cmdline").read_text()
        process.kill()


def test_found_again_while_it_runs_and_after(tmp_path: Path) -> None:
    assert Detached.find(tmp_path) is None
    start(tmp_path, "while [ ! -e go ]; do sleep 0.01; done; exit 4")
    found = Detached.find(tmp_path)
    assert found is not None
    assert found.exit_code() is None
    (tmp_path / "go").touch()
    until(lambda: found.exit_code() is not None)
    assert found.exit_code() == 4
    ended = Detached.find(tmp_path)
    assert ended is not None
    assert ended.exit_code() == 4


def test_kill_ends_the_tree_even_what_left_the_session(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "open('pids.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename('pids.new', 'pids')\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "stubborn.py").write_text(script)
    process = start(tmp_path, f"exec {sys.executable} stubborn.py")
    until((tmp_path / "pids").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    process.kill(grace=0.1)
    assert process.exit_code() == LOST
    for pid in pids:
        assert not runs(pid)


DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        open('pid.new', 'w').write(str(os.getpid()))\n"
    "        os.rename('pid.new', 'pid')\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
)


@pytest.mark.parametrize("after", ["sleep 600", "true"])
def test_a_daemon_does_not_outlive_its_command(tmp_path: Path, after: str) -> None:
    """One that has left its parents and its session: when the command is killed, and when it ends."""
    (tmp_path / "daemon.py").write_text(DAEMON)
    process = start(tmp_path, f"{sys.executable} daemon.py; {after}")
    until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    if after == "true":
        until(lambda: process.exit_code() == 0)
        process.end_rest()
    else:
        process.kill(grace=0.1)
    assert not runs(pid)


def test_a_command_that_has_ended_leaves_no_zombie(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        process = start(tmp_path / str(number), "true")
        until(partial(_has_ended, process))
    zombies = [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
    assert zombies == []

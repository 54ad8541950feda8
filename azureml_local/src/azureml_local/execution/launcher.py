"""Starts the processes of a distributed command, a process group for each node, and ends as they end.

Run as `python -m azureml_local.execution.launcher PLAN`, in the session of the step. It ends with status 0
when every awaited process has, else with the status of the first that failed, whose log it names in the file
`failed` beside the plan; the others are ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from azureml_local.execution.distribution import Process

_GRACE = 5.0  # seconds between the request to end and the force
_LOOK_AGAIN = 0.02


def write_plan(path: Path, command: Sequence[str], artifacts: Path, processes: Sequence[Process]) -> None:
    """What `main` reads: the command of every process, the folder of the logs, and the processes."""
    plan = {"command": list(command), "artifacts": str(artifacts), "processes": list(map(asdict, processes))}
    path.write_text(json.dumps(plan))


def failed_log(plan: Path) -> str | None:
    """The log of the process that failed, None as long as none has."""
    with suppress(FileNotFoundError):
        return (plan.parent / "failed").read_text()
    return None


def main(path: Path) -> int:
    """Run the plan; the exit status."""
    plan = json.loads(path.read_text())
    processes = [Process(**given) for given in plan["processes"]]
    leaders: dict[int, int] = {}  # by node, whose process group it leads
    running: dict[int, Process] = {}
    held = []  # Popen reaps what nobody holds any more, and a node's group would go with its leader
    for process in processes:
        started = _start(plan["command"], process, Path(plan["artifacts"]), leaders.get(process.node, 0))
        held.append(started)
        leaders.setdefault(process.node, started.pid)
        running[started.pid] = process
    while any(process.awaited for process in running.values()):
        pid, status = os.wait()
        ended = running.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        if ended is not None and code != 0:
            (path.parent / "failed").write_text(ended.log)
            _end(running)
            return code if code > 0 else 128 - code
    _end(running)
    return 0


def _start(command: Sequence[str], process: Process, artifacts: Path, group: int) -> subprocess.Popen[bytes]:
    log = artifacts / process.log
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **process.variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=group,
        )


def _end(running: Mapping[int, Process]) -> None:
    """End what still runs: asked first, then forced."""
    left = set(running)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _GRACE
        while left and time.monotonic() < deadline:
            left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
            time.sleep(_LOOK_AGAIN)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

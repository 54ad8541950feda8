"""Ctrl-C at any moment of `finetune run`: every one ends it with 130, and nothing of it is billed any more.

``python -m tests.sweep.interrupts --tries 50 --seed 1`` draws the moments over the whole life of the process,
from its start on, while busy loops take the processors away from it. A moment is so many lines that the run
has printed, and a part of a second after the last of them: by the clock most would come during the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import yaml

from flows.operations.stand import PrefectServer, serving
from tests.support.checkout import ROOT
from tests.support.own_workspace import Workspace, opened
from tests.support.waiting import until
from tests.sweep.audit import billed, live, mark
from tests.sweep.worker import recipe_of

_LIMIT = 600.0  # seconds of one process
_MARK = "FINETUNE_INTERRUPTED"  # in the environment of a try's processes


@dataclass(frozen=True)
class Interrupted:
    """A process that was sent SIGINT `after` seconds after a line, and what there was at its end.

    `reported` says whether its report was complete by then; `line` is what it had said last.
    """

    after: float
    line: str
    code: int
    reported: bool
    said: str
    billed: tuple[str, ...]
    jobs: tuple[str, ...]
    processes: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether it ended by the signal, as a shell tells it, or had nothing to do any more."""
        ended = self.code in (130, -signal.SIGINT) or (self.code == 0 and self.reported)
        return ended and not (self.billed or self.jobs or self.processes)


def main() -> int:
    """Print a line for each try; 1 when one is not well."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep.interrupts", description=__doc__)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--busy", type=int, default=2, help="busy loops beside")
    parser.add_argument("--temporary", action="store_true", help="a Prefect server of each run's own")
    arguments = parser.parse_args()
    # A shell without job control has what it starts in the background ignore SIGINT, and all that starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance = random.Random(arguments.seed)
    ill = 0
    with tempfile.TemporaryDirectory(prefix="interrupts-") as folder, ExitStack() as stack:
        home = Path(folder)
        workspace = stack.enter_context(opened(home / "workspace"))
        prefect = None if arguments.temporary else stack.enter_context(serving(home / "prefect"))
        stack.enter_context(_busy(arguments.busy))
        runs = _Runs(home, workspace, prefect)
        lines = runs.lines()
        for serial in range(2, arguments.tries + 2):
            # Of four the first is at the start, where nothing is said for seconds.
            line = chance.randrange(lines + 1) if serial % 4 else 0
            tried = runs.interrupted(serial, line, chance.uniform(0, 6 if line == 0 else 0.6))
            ill += not tried.is_well
            print(json.dumps({"well": tried.is_well} | asdict(tried)), flush=True)
    print(f"{arguments.tries} tries, {ill} of them not well.")
    return int(ill > 0)


@dataclass(frozen=True)
class _Runs:
    """Starts runs of the command line in one workspace, each unlike every other."""

    home: Path
    workspace: Workspace
    prefect: PrefectServer | None  # None: each starts a temporary one

    def lines(self) -> int:
        """How many lines a run prints that nobody interrupts."""
        process, log = self._start(1), self.home / "1.log"
        if code := process.wait(_LIMIT):
            raise RuntimeError(f"a run that nobody interrupts ends with {code}: {_read(log)}")
        return len(_read(log))

    def interrupted(self, serial: int, line: int, after: float) -> Interrupted:
        """Start a run, and press Ctrl-C so many seconds after it has printed so many lines."""
        before = mark(self.workspace)
        log, out = self.home / f"{serial}.log", self.home / f"{serial}.json"
        process = self._start(serial)
        until(lambda: process.poll() is not None or len(_read(log)) >= line)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        said, reported = _read(log), _is_report(out)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        code = process.wait(_LIMIT)
        return Interrupted(
            after=round(after, 2),
            line=said[-1] if said else "",
            code=code,
            reported=reported,
            said=_read(log)[-1] if _read(log) else "",
            billed=billed(self.workspace, before),
            jobs=tuple(live(before)),
            processes=_left(serial),
        )

    def _start(self, serial: int) -> subprocess.Popen[bytes]:
        recipe = self.home / f"{serial}.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(self.workspace, serial)))
        own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        temporary = {"PREFECT_HOME": str(self.home / f"prefect-{serial}")}
        variables = temporary if self.prefect is None else self.prefect.environment
        with (
            (self.home / f"{serial}.json").open("wb") as out,
            (self.home / f"{serial}.log").open("wb") as log,
        ):
            return subprocess.Popen(
                [sys.executable, "-m", "flows.terminal.cli", "run", str(recipe), "--json"],
                cwd=ROOT,
                env={**own, **variables, _MARK: str(serial)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )


def _read(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def _is_report(out: Path) -> bool:
    try:
        return bool(json.loads(out.read_text())["outcome"] == "completed")
    except ValueError:
        return False


def _left(serial: int) -> tuple[str, ...]:
    """What still runs of a try; Prefect's temporary server ends a moment after its run."""
    found = [process for process in psutil.process_iter(["environ"]) if _is_of(process, serial)]
    _, alive = psutil.wait_procs(found, timeout=120)
    return tuple(" ".join(process.cmdline())[:200] for process in alive)


def _is_of(process: psutil.Process, serial: int) -> bool:
    return (process.info["environ"] or {}).get(_MARK) == str(serial)


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    """Take the processors away from whatever else runs, by so many loops."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

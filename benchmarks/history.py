"""The history of thousands of runs: reading them from a Prefect server, drawing the page, showing it.

    uv run python -m benchmarks.history [--runs 5000] [--rounds 5]

The runs are made up and put into the server's database; then a real server (SQLite) is asked for them, and a
headless Chromium shows the page. Figures are seconds, the median of the rounds; megabytes where it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.spread import spread
from flows.dashboard.page import page
from flows.dashboard.prometheus import exposition
from flows.dashboard.run import RunRecord
from flows.dashboard.selection import Selection
from tests.support import browser
from tests.support.prefect_server import serving
from tests.support.seeding import seed
from tests.support.synthetic import NOW, runs

RUNS, ROUNDS = 5000, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history = runs(options.runs)
        found = _read(Path(folder), history, options.rounds)
        found |= _drawn(Path(folder), history, options.rounds)
    print(f"| {options.runs:,} runs | seconds |\n| --- | ---: |")
    for name, values in found.items():
        print(f"| {name} | {spread(values)} |")


def _read(folder: Path, history: list[RunRecord], rounds: int) -> dict[str, list[float]]:
    """How long a server takes to tell of all of them, and of the newest."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.dashboard import reader

    seed(f"sqlite+aiosqlite:///{folder / 'prefect.db'}", history)
    with serving(folder) as server, temporary_settings({PREFECT_API_URL: f"{server.url}/api"}):
        everything = asyncio.run(reader.read(Selection()))
        assert [run.id for run in everything] == [run.id for run in history]
        return {
            "read all": _timed(rounds, lambda: asyncio.run(reader.read(Selection()))),
            "read the newest 25": _timed(rounds, lambda: asyncio.run(reader.read(Selection(limit=25)))),
        }


def _drawn(folder: Path, history: list[RunRecord], rounds: int) -> dict[str, list[float]]:
    """How long the page takes, to be made and to be there in a browser that has been started before."""
    file = folder / "history.html"

    def make() -> None:
        file.write_text(page(history, prefect="http://127.0.0.1:4200", now=NOW), encoding="utf-8")

    made = _timed(rounds, make)
    with browser.opened() as chromium:
        shown = chromium.new_page()

        def show() -> None:
            shown.goto(file.as_uri())
            shown.wait_for_selector(".runs .run")

        def narrow() -> None:
            shown.fill("[name=text]", "out of memory")
            shown.fill("[name=text]", "")

        took = _timed(rounds, show)
        narrowed = _timed(rounds, narrow)
    return {
        "make the page": made,
        "show the page": took,
        "both": [a + b for a, b in zip(made, took, strict=True)],
        "search and clear": narrowed,
        "make the metrics": _timed(rounds, lambda: exposition(history, NOW)),
        "(the page's size, MB)": [file.stat().st_size / 1e6],
    }


def _timed(rounds: int, work: Callable[[], Any]) -> list[float]:
    took = []
    for _ in range(rounds):
        began = perf_counter()
        work()
        took.append(perf_counter() - began)
    return took


if __name__ == "__main__":
    main()

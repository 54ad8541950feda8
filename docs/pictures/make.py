"""Makes the pictures of the documentation with a headless Chromium.

    uv run --extra local python -m docs.pictures.make [history] [compared] [run] [sweep] [evaluation]

`history.png` and `compared.png` show made-up runs of two years; the others what real runs of the local
recipe have left on a Prefect server of their own, which takes some minutes each: a run, a sweep, and its
winner's evaluation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.dashboard.page import page
from flows.operations.deployed_runs import artifacts
from tests.support import browser, synthetic

if TYPE_CHECKING:
    from flows.operations.stand import PrefectServer

HERE = Path(__file__).resolve().parent
_PATIENCE = 120_000  # milliseconds; Prefect's pages are drawn in the browser
_RUNS = 1200
SWEPT = ("local", "--try", "parameters.training.learning_rate=1e-4,5e-4,1e-3", "--parallel", "1")
_SAME, _BETWEEN = 6, 5.0  # pictures that must be equal, and the seconds from one to the next


def main() -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pictures", nargs="*", choices=[*PICTURES, []], metavar="PICTURE")
    for name in parser.parse_args().pictures or PICTURES:
        file = HERE / f"{name}.png"
        PICTURES[name](file)
        print(file)


def history(file: Path) -> None:
    """The top of the history page."""
    with _history(900) as shown:
        shown.screenshot(path=file)


def compared(file: Path) -> None:
    """Three runs beside each other on the history page."""
    with _history(1200) as shown:
        shown.select_option("[name=recipe]", "phi-3-mini-ultrachat")
        for number in range(3):
            shown.locator(".tick").nth(number).check()
        shown.locator(".compared").screenshot(path=file)


@contextmanager
def _history(height: int) -> Iterator[Any]:
    """The history page of made-up runs."""
    with tempfile.TemporaryDirectory() as folder, _browser(1280, height) as shown:
        html = Path(folder) / "history.html"
        html.write_text(page(synthetic.runs(_RUNS), prefect=None, now=synthetic.NOW), encoding="utf-8")
        shown.goto(html.as_uri())
        shown.wait_for_selector(".runs .run")
        yield shown


def run(file: Path) -> None:
    """The page of a run of the local recipe: its stages over time, and its artifacts."""
    from flows.operations.show import deploy, run_scheduled
    from flows.operations.stand import serving, working

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home / "prefect", AZUREML_LOCAL_STATE=str(home / "workspace")) as server:
            with working(server):
                deploy(server, print)
                done = run_scheduled(server, print)
            _photograph(server, f"{server.url}/v2/runs/flow-run/{done.id}?tab=Artifacts", file)


def sweep(file: Path) -> None:
    """The artifact of the sweep: its picture and its table."""
    with _swept() as (server, report):
        _photograph_artifact(server, report["sweep"], "finetune-sweep", file, 880)


def evaluation(file: Path) -> None:
    """The artifact with the answers side by side, of a run that has served base and tuned model."""
    with _swept() as (server, report):
        _photograph_artifact(server, report["final"]["run"], "finetune-evaluation", file, 1180)


@contextmanager
def _swept() -> Iterator[tuple[PrefectServer, dict[str, Any]]]:
    """A server on which the sweep of the documentation has ended, and its report."""
    from flows.operations.stand import serving

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home / "prefect", AZUREML_LOCAL_STATE=str(home / "workspace")) as server:
            command = [sys.executable, "-m", "flows.terminal.cli", "sweep", *SWEPT, "--json"]
            done = subprocess.run(command, env=server.environment, stdout=subprocess.PIPE, check=True)
            yield server, json.loads(done.stdout)


def _photograph_artifact(server: PrefectServer, run: str, key: str, file: Path, height: int) -> None:
    found = artifacts(server, UUID(run))[key]
    with _browser(1360, height) as shown:
        shown.route(lambda url: not url.startswith(server.url), lambda route: route.abort())
        shown.goto(f"{server.url}/v2/artifacts/artifact/{found.id}")
        shown.get_by_role("table").first.wait_for()
        file.write_bytes(_settled(shown))


def _photograph(server: PrefectServer, address: str, file: Path) -> None:
    with _browser(1360, 1040) as shown:
        shown.route(lambda url: not url.startswith(server.url), lambda route: route.abort())
        shown.goto(address)
        shown.get_by_text("finetune-plan", exact=True).first.wait_for()
        shown.get_by_text("Completed").first.wait_for()
        file.write_bytes(_settled(shown))


def _settled(shown: Any) -> bytes:
    """The page once it has looked the same for a while: a worker that says nothing lays out its graph."""
    looks: list[bytes] = []
    while looks[-_SAME:].count(looks[-1] if looks else b"") < _SAME:
        time.sleep(_BETWEEN)
        looks.append(shown.screenshot())
    return looks[-1]


@contextmanager
def _browser(width: int, height: int) -> Iterator[Any]:
    """A page of that size in CSS pixels while the block runs."""
    with browser.opened() as chromium:
        shown = chromium.new_page(viewport={"width": width, "height": height})
        shown.set_default_timeout(_PATIENCE)
        yield shown


PICTURES: dict[str, Callable[[Path], None]] = {
    "history": history,
    "compared": compared,
    "run": run,
    "sweep": sweep,
    "evaluation": evaluation,
}

if __name__ == "__main__":
    main()

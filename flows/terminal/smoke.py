"""`finetune smoke`: a small real job and deployment show how a workspace behaves, for less than a dollar."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import leaving_by_signals, reporting

if TYPE_CHECKING:
    from tasks.recording.compare import Difference
    from tasks.recording.exchange import Recording
    from tasks.sign_in import Workspace
    from tasks.smoke.run import Smoke

_PANEL = "Recording"


def smoke(
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    max_usd: Annotated[float, typer.Option(min=0.0, help="Refuse when it could cost more dollars.")] = 1.0,
    size: Annotated[
        str, typer.Option(help="The VM size of its node and of its deployment.")
    ] = "Standard_DS3_v2",
    environment: Annotated[
        str | None,
        typer.Option(
            help="An environment with azureml-mlflow and azureml-inference-server-http in it, "
            "instead of the curated one.",
            metavar="ID",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            help="Of its cluster, as in compute.identity: for a workspace whose storage takes no keys.",
            metavar="ID",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Its file; smoke-DATE.json in this directory by default.", rich_help_panel=_PANEL),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Say where this recording differs from this smoke's.", rich_help_panel=_PANEL
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="FILE", help="Compare with this one, and run nothing.", rich_help_panel=_PANEL
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Try a workspace with a small job and deployment, delete them, and record how it answered."""
    if against is not None and compare is None:
        raise typer.BadParameter("--with names what --compare is compared with")
    with reporting("nothing was started"):
        from tasks.recording.exchange import Recording

        wanted = Recording.read(compare) if compare else None
        here = Recording.read(against) if against else None
    done = None
    if here is None:
        path = out or Path(f"smoke-{datetime.now(UTC):%Y-%m-%d}.json")
        with leaving_by_signals("What the smoke has made is being deleted."), reporting("nothing was made"):
            _check_writable(path)
            place = workspace(where, recipe, name, credentials)
            done, here, names = _smoke(place, _Wish(max_usd, size, environment, identity))
        if wanted is None:
            _show(done, as_json)
        with reporting("the recording was not written"):
            here.write(path, names)
            typer.echo(
                f"Recorded {len(here.exchanges)} exchanges in {path}, without names or values", err=True
            )
    code = done.exit_code if done else 0
    if wanted is not None:
        found = _differences(wanted, here)
        _show_differences(found, done, as_json)
        code = code or int(any(each.counts for each in found))
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Wish:
    """What the options ask for."""

    max_usd: float
    size: str
    environment: str | None
    identity: str | None


def _check_writable(path: Path) -> None:
    """Raise Failure where the recording could not be written, before an hour's work for it."""
    from tasks.azure.failure import Cause, Failure

    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise Failure(
            f"The recording cannot be written to {path}.",
            "Name a file in a directory that can be written to: --out FILE.",
            cause=Cause.CONFIGURATION,
        )


def _smoke(place: Workspace, wish: _Wish) -> tuple[Smoke, Recording, frozenset[str]]:
    """Run it in this process; what came of it, the recording, and the names that must not be in it."""
    from flows.run.workspace import opened
    from flows.terminal import prefect_server

    prefect_server.configure()
    with opened(place.where, place.credentials):
        from tasks.azure import sizes
        from tasks.recording.recorder import Recorder
        from tasks.sign_in import sign_in
        from tasks.smoke.plan import ENVIRONMENT, planned, with_identity
        from tasks.smoke.run import smoke as run

        session = sign_in.fn(place)
        plan = planned(sizes.find(session, wish.size), wish.environment or ENVIRONMENT, wish.max_usd)
        plan = with_identity(plan, wish.identity)
        typer.echo(f"{plan.name} on {plan.size.name}: ${plan.worst:.2f} at the very most", err=True)
        recorder = Recorder()
        done, recording = run(session, plan, recorder, _Progress())
    return done, recording, recorder.names


class _Progress:
    """A line on stderr for each check, and for each state that it meets."""

    def __init__(self) -> None:
        self._last = ("", "")

    def __call__(self, check: str, detail: str) -> None:
        if (check, detail) != self._last:
            self._last = (check, detail)
            typer.echo(f"● {check}{f': {detail}' if detail else ''}", err=True)


def _show(done: Smoke, as_json: bool) -> None:
    from flows.terminal.table import show

    if as_json:
        typer.echo(done.model_dump_json(indent=2))
        return
    rows = []
    for each in done.results:
        state = "passed" if each.passed else "skipped" if each.skipped else "FAILED"
        facts = [f"{name} {value:g}" for name, value in each.facts.items()]
        rows.append(
            (each.name, state, f"{each.seconds:.1f} s", "; ".join([*facts, each.problem]).strip("; "))
        )
    ended = "Everything is deleted." if done.is_clean else "NOT EVERYTHING IS DELETED."
    summary = f"{done.minutes:g} minutes, at most ${done.dollars:.4f}. {ended}"
    show(("check", "", "took", ""), rows, "")
    show(
        ("made", "what became of it"),
        [(e.thing, e.proof or f"NOT DELETED: {e.problem}") for e in done.gone],
        summary,
    )
    for each in done.results:
        if each.details:
            typer.echo(f"\n{each.name}: {each.details}", err=True)


def _differences(there: Recording, here: Recording) -> list[Difference]:
    from tasks.recording.compare import differences

    return differences(there, here)


def _show_differences(found: list[Difference], done: Smoke | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict
    from itertools import groupby

    if as_json:
        body = {
            "differences": [asdict(each) for each in found],
            "smoke": done and done.model_dump(mode="json"),
        }
        typer.echo(json.dumps(body, indent=2))
        return
    for call, group in groupby(found, key=lambda each: each.call):
        typer.echo(call)
        for each in group:
            typer.echo(f"    {each}")
    counted = sum(each.counts for each in found)
    words = f", and {len(found) - counted} words that only the recording has" if len(found) > counted else ""
    typer.echo(f"{counted} differences{words}.")
    if done is not None and done.exit_code:
        _show(done, as_json)

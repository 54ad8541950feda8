"""`finetune run`: the whole fine-tune here and now; what it needs is started side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.recipes import ChangesOption, RecipeArgument
from flows.terminal.reporting import BEGUN, leaving_by_signals, quiet, reporting

if TYPE_CHECKING:
    from flows.run.config import Finetune
    from flows.run.report import RunReport
    from tasks.data.section import Data

End = Callable[["RunReport"], None]

_GOES_ON = "A job that was submitted goes on: run the same again, and it is found and waited for."


def run(
    recipe: RecipeArgument = "local",
    changes: ChangesOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout, everything else on stderr.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train again even if a job with the same inputs exists.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before anything is paid for, as a terminal is asked.")
    ] = False,
) -> None:
    """Run the whole fine-tune here and now."""
    ended: list[RunReport] = []
    try:
        with leaving_by_signals(_GOES_ON), reporting("nothing was started"):
            _run(recipe, [*(changes or ()), *(["fresh=true"] if fresh else ())], ended.append, yes=yes)
    finally:
        for report in ended:
            _tell(report, as_json=as_json)


def _tell(report: RunReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    from flows.terminal.summary import summary

    summary(report, monotonic() - BEGUN)


def _run(recipe: str, changes: Iterable[str], end: End, *, yes: bool) -> None:
    """Run a recipe in this process; `end` has its report. Raises Failure when it does not complete."""
    from tasks.core import imports

    with ExitStack() as stack:
        with imports.uncollected():
            config = _started(recipe, changes, stack)
            _plan(config, yes=yes)
            from flows import finetune  # noqa: F401
        _observed(config, end)


def _started(recipe: str, changes: Iterable[str], stack: ExitStack) -> Finetune:
    """The configuration, once Prefect's server and the workspace that it needs answer."""
    from flows.run.workspace import opened
    from flows.terminal import prefect_server

    prefect_server.configure()
    from flows.run.config import load

    config = load(recipe, changes)  # before anything is started: what is wrong with it is said at once
    _check_files(config.data)
    answering = prefect_server.starter()
    # Held from here on, so that the flow finds it running; the flow itself opens it as well.
    stack.enter_context(opened(config.workspace.where, config.workspace.credentials))
    answering()
    return config


def _check_files(data: Data) -> None:
    """Refuse files of this machine that are not there, or not told apart; only their names are read."""
    from tasks.data import choice, datastore, resolve

    if resolve.is_path(data.dataset) and "://" not in data.dataset and not datastore.is_meant(data.dataset):
        choice.parts(data, resolve.resolve(data))


def _plan(config: Finetune, *, yes: bool) -> None:
    """Show what the run will do and, at a terminal and before anything is paid for, have it approved.

    A run that nobody is asked about begins also where no plan can be made: it says itself what is wrong.
    """
    from flows.plan import history, workspace
    from flows.plan.making import plan_of
    from flows.terminal.plan import show
    from tasks.azure.errors import explain

    asking = not yes and config.workspace.bills and sys.stdin.isatty() and sys.stderr.isatty()
    try:
        with quiet("finetune"):
            plan = plan_of(config, workspace.facts(config, like=history.like(config)))
    except Exception as error:
        if asking:
            raise
        typer.echo(f"No plan beforehand: {explain(error)}", err=True)
        return
    show(plan, sys.stderr)
    if asking and plan.must_be_asked and not typer.confirm("Run it?", err=True):
        raise KeyboardInterrupt("Not run: nothing was started.")


def _observed(config: Finetune, end: End) -> None:
    from flows.finetune import finetune
    from flows.run import outcome, prefect_api
    from flows.terminal.live import view
    from tasks.core import signals

    reports: list[RunReport] = []
    try:
        # Until its message is here: a second Ctrl-C in between would be that of a run that has not begun.
        with signals.heeded(), view(config), outcome.reported_to(reports.append):
            state = finetune(config, return_state=True)
    except Exception as error:
        if reports and prefect_api.lost(error):  # nowhere else is what became of it
            end(reports[-1])
        raise
    if state.is_cancelled():
        raise KeyboardInterrupt(state.message)
    end(state.result())

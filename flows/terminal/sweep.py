"""`finetune sweep`: several settings of a recipe as one group of runs, and what the best of them becomes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.recipes import ChangesOption, RecipeArgument
from flows.terminal.reporting import leaving_by_signals, quiet, reporting

if TYPE_CHECKING:
    from flows.trials.grid import Sweep, Trial
    from flows.trials.plan import SweepPlan
    from flows.trials.result import SweepReport

_GOES_ON = "Jobs that were submitted go on: run the same again, and they are found and waited for."


def sweep(
    recipe: RecipeArgument = "local",
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try", metavar="A.B=C,D", help="Values that a setting takes in turn; may be repeated."
        ),
    ] = None,
    changes: ChangesOption = None,
    parallel: Annotated[int, typer.Option(min=1, help="How many runs at a time.")] = 1,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the combinations, drawn by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which combinations a sample has.")] = 0,
    budget_usd: Annotated[
        float | None, typer.Option(help="No more training once all runs together have cost so many dollars.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show the plan alone: start nothing.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="The same by the shipped catalogue, without credentials.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before anything is paid for, as a terminal is asked.")
    ] = False,
) -> None:
    """Train several settings of a recipe, compare them, and deploy only the best."""
    from pydantic import ValidationError

    with leaving_by_signals(_GOES_ON), reporting("what was trained is found again"):
        from flows.trials.grid import Sweep, Try, trials
        from tasks.azure.failure import Cause, Failure

        try:
            wanted = Sweep(
                recipe=recipe,
                tries=tuple(map(Try.read, tries or ())),
                changes=tuple(changes or ()),
                parallel=parallel,
                sample=sample,
                seed=seed,
                budget_usd=budget_usd,
            )
        except ValidationError as error:
            raise Failure(
                f"The sweep is wrong: {error.errors()[0]['msg']}.", cause=Cause.CONFIGURATION
            ) from error
        every = trials(wanted)  # before anything is started: what is wrong with one is said at once
        found = _planned(wanted, every, offline=offline) if plan or offline else None
        report = _run(wanted, every, yes=yes) if found is None else None
    _print(found, report, as_json=as_json)


def _print(plan: SweepPlan | None, report: SweepReport | None, *, as_json: bool) -> None:
    """The result on stdout; of a plan that would fail the command ends with 1."""
    if as_json:
        shown = plan or report
        typer.echo(shown.model_dump_json(indent=2) if shown else "")
    elif plan is not None:
        _show_plan(plan)
    elif report is not None:
        show(report)
    raise typer.Exit(1 if plan is not None and plan.problems else 0)


def show(report: SweepReport) -> None:
    """The runs as a table, what became of the winner, and why there are intervals or none."""
    from flows.run.outcome import outcome
    from flows.terminal.table import show as show_table
    from flows.trials import page

    show_table(page.HEAD, page.rows(report), page.summary(report))
    if report.repeated:
        rows = page.repeated_rows(report)
        show_table(("settings", "held-out loss (95 %)", "runs"), rows, "Runs that differ in their seed alone")
    else:
        typer.echo(page.WHY_NO_INTERVAL)
    if report.final is not None:
        typer.echo(f"The winner's run: {outcome(report.final)}")


def _show_plan(plan: SweepPlan, *, err: bool = False) -> None:
    from flows.trials import page

    for line in page.text(plan):
        typer.echo(line.rstrip(), err=err)


def _planned(sweep: Sweep, trials: tuple[Trial, ...], *, offline: bool) -> SweepPlan:
    """By the shipped catalogue, or by the workspace of the first run."""
    from flows.trials.plan import plan_of_group, same

    if offline:
        from flows.plan import shipped

        return plan_of_group(sweep, trials, shipped.facts, same)
    from flows.terminal import prefect_server

    prefect_server.configure()
    from flows.run.workspace import opened

    place = trials[0].config.workspace
    with quiet("finetune"), opened(place.where, place.credentials):
        from flows.plan import history, workspace

        return plan_of_group(
            sweep,
            trials,
            lambda config: workspace.facts(config, like=history.of_configured(config)),
            workspace.again,
        )


def _run(sweep: Sweep, trials: tuple[Trial, ...], *, yes: bool) -> SweepReport:
    """Run the group in this process; raises Failure where nothing of it completes."""
    from flows.run.workspace import opened
    from flows.terminal import prefect_server

    prefect_server.start()
    place = trials[0].config.workspace
    with ExitStack() as stack:
        stack.enter_context(opened(place.where, place.credentials))
        _ask(sweep, trials, yes=yes)
        return _observed(sweep, trials)


def _ask(sweep: Sweep, trials: tuple[Trial, ...], *, yes: bool) -> None:
    """Show the plan and, at a terminal and before anything is paid for, have it approved."""
    plan = _planned(sweep, trials, offline=False)
    _show_plan(plan, err=True)
    asking = not yes and plan.must_be_asked and sys.stdin.isatty() and sys.stderr.isatty()
    if asking and not typer.confirm("Run it?", err=True):
        raise KeyboardInterrupt("Not run: nothing was started.")


def _observed(sweep: Sweep, trials: tuple[Trial, ...]) -> SweepReport:
    from flows.sweep import sweep as flow
    from flows.terminal.sweep_view import view
    from tasks.core import signals

    with signals.heeded(), view(trials):
        state = flow(
            recipe=sweep.recipe,
            tries=list(sweep.tries),
            changes=list(sweep.changes),
            parallel=sweep.parallel,
            sample=sweep.sample,
            seed=sweep.seed,
            budget_usd=sweep.budget_usd,
            return_state=True,
        )
    if state.is_cancelled():
        raise KeyboardInterrupt(state.message)
    report: SweepReport = state.result()
    return report

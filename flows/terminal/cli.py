"""The command line. Nothing heavy is imported before it is needed: `finetune --help` answers at once."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="finetune",
    help="Fine-tune a chat model on Azure ML, and prove that it answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130
_SHOWN = 25  # runs in a terminal, unless a limit is given


class Where(Enum):
    local = "local"
    azure = "azure"


@app.callback()
def _commands() -> None:
    """Without this typer takes a single command for the whole program."""


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe of recipes/ by its name, or a YAML file.")
    ] = "local",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set a field of the recipe; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout, everything else on stderr.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train anew, also where equal inputs were trained before.")
    ] = False,
) -> None:
    """Run the whole fine-tune here and now."""
    with _reporting("the job is cancelled, the endpoint deleted"):
        from flows.terminal.adhoc import run as run_here

        report = run_here(recipe, [*(changes or ()), *(["fresh=true"] if fresh else ())])
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        from flows.terminal.live import summary

        summary(report)


@app.command()
def reap(
    where: Annotated[Where, typer.Option(help="The workspace on this machine, or the one in Azure.")] = (
        Where.local
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted, and what it costs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found and done as JSON on stdout.")
    ] = False,
) -> None:
    """Delete endpoints, deployments and clusters of past runs that have outlived their leases."""
    with _reporting("what was not reached stays"):
        from flows.terminal.adhoc import reap as reap_here

        reaping = reap_here(where.value, dry_run=dry_run)
    if as_json:
        typer.echo(reaping.model_dump_json(indent=2))
    else:
        from flows.terminal.live import leases

        leases(reaping)


@app.command()
def automations(
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar="FINETUNE_WEBHOOK",
            show_envvar=True,
            help="The address to notify; the one of last time when left out.",
        ),
    ] = None,
    silent_seconds: Annotated[
        int, typer.Option(min=60, help="A run without a heartbeat for so long is taken to have crashed.")
    ] = 300,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was changed as JSON on stdout.")
    ] = False,
) -> None:
    """Create or update the automations that heal lost runs and notify people, in the Prefect server."""
    with _reporting("run it again"):
        from flows.operations.automations import declare

        declared = declare(webhook, silent_seconds)
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in declared], indent=2))
    else:
        for each in declared:
            typer.echo(f"{each.change}{'' if each.enabled else ' (switched off)'}  {each.name}")


@app.command()
def history(
    state: Annotated[
        list[str] | None, typer.Option(help="Only runs in this state; may be repeated, or a,b.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only runs of this recipe.")] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of models with this in their name.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only runs since 2026-03-01, or since 36h, 14d, 8w ago."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many runs, the newest.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page: one file that needs no network.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the metrics in Prometheus' text format.")
    ] = None,
    mlflow: Annotated[
        Where | None, typer.Option(help="Ask this workspace's MLflow for losses that a run could not report.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every run as JSON on stdout.")] = False,
) -> None:
    """List all runs: when, what, how long, at what cost, how good; as a table, JSON, a page or metrics."""
    with _reporting("nothing was written"):
        from flows.dashboard.selection import select

        listed = not (as_json or html or metrics)
        selection = select(
            state or (), recipe, model, since, limit if limit is not None or not listed else _SHOWN
        )
        from flows.terminal.adhoc import read_history

        runs = read_history(selection, mlflow.value if mlflow else None)
        if html or metrics:
            from flows.history import write_metrics, write_page

            written = [write_page(runs, html)] if html else []
            written += [write_metrics(runs, metrics)] if metrics else []
            typer.echo(f"{len(runs):,} runs in {' and '.join(written)}", err=True)
    if as_json:
        typer.echo(json.dumps([run.model_dump(mode="json") for run in runs], indent=2))
    elif listed:
        from flows.dashboard.table import show

        show(runs)


@app.command()
def metrics(
    port: Annotated[int, typer.Option(help="The port to be scraped at.")] = 9464,
    address: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Serve the metrics of all runs to Prometheus, until interrupted."""
    with _reporting("no more metrics"):
        from flows.terminal.adhoc import serve_metrics

        serve_metrics(port, address)


@contextlib.contextmanager
def _reporting(interrupted: str) -> Iterator[None]:
    """Tell failures as one line, and keep stdout for the result."""
    with contextlib.redirect_stdout(_Printed()):
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"Interrupted: {interrupted}.", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except Exception as error:
            from tasks.azure.errors import explain

            failure = explain(error)
            typer.echo(f"Error: {failure}", err=True)
            if failure.details:
                typer.echo(failure.details, err=True)
            if os.environ.get("FINETUNE_TRACEBACK"):
                raise
            raise typer.Exit(1) from None


class _Printed(io.TextIOBase):
    """Takes what libraries print, dots and all: it belongs to the log, at its lowest level."""

    def __init__(self) -> None:
        self._log = logging.getLogger("finetune.printed")

    def write(self, text: str) -> int:
        if text.strip():
            self._log.debug("%s", text.strip())
        return len(text)


def main() -> None:
    app()


if __name__ == "__main__":
    main()

"""The command line. Nothing heavy is imported before it is needed: `finetune --help` answers at once."""

from __future__ import annotations

import contextlib
import os
import sys
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
    from tasks.failure import explain

    # What libraries print belongs to the log: stdout is for the report alone.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            from flows.adhoc import run as run_here

            report = run_here(recipe, [*(changes or ()), *(["fresh=true"] if fresh else ())])
        except KeyboardInterrupt:
            typer.echo("Interrupted: the job is cancelled, the endpoint deleted.", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except Exception as error:
            failure = explain(error)
            typer.echo(f"Error: {failure}", err=True)
            if failure.details:
                typer.echo(failure.details, err=True)
            if os.environ.get("FINETUNE_TRACEBACK"):
                raise
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        from flows.terminal import summary

        summary(report)


def main() -> None:
    app()


if __name__ == "__main__":
    main()

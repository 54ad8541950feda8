"""The end of a run in the terminal: what was made, what it cost, how long each stage took."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flows.run import figures
from flows.run.report import RunReport
from tasks.use import Use


def summary(report: RunReport, seconds: float) -> None:
    """What was made, what it cost, how long each stage took, and the command as a whole."""
    console = Console(stderr=True, highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows: list[tuple[str, Any]] = [
        ("failure", report.failure),
        ("job", report.job),
        ("held-out loss", figures.losses(report.base_loss, report.eval_loss)),
        ("model", report.model and f"{report.model}:{report.model_version}"),
        ("ROUGE-L", figures.losses(report.base_rouge_l, report.rouge_l)),
        ("gate", "; ".join(filter(None, (report.gate, *report.gate_reasons)))),
        ("held against", report.incumbent),
        ("question", report.prompt),
        ("base model", report.base_answer),
        ("tuned model", report.answer),
        ("the data", report.ground_truth),
        ("endpoint", report.endpoint and f"{report.endpoint} {report.deletion or ''}"),
        ("reused", ", ".join(map(str, report.reused))),
        ("notes", "; ".join(report.notes)),
        ("cost", f"${report.cost_usd:.4f} at Azure's prices" if report.cost_usd else ""),
        ("stages", ", ".join(f"{name} {value:.1f} s" for name, value in report.seconds_by_stage.items())),
        ("together", f"{seconds:.0f} s"),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, Text(str(value)))
    console.print(Panel(table, title=f"{report.recipe}: {report.outcome}", title_align="left"))
    if report.deletion and report.deletion.use:
        show_use(report.deletion.use)


def show_use(use: Use) -> None:
    """How an endpoint that stays is asked: outside of any frame, so that the lines can be copied."""
    typer.echo(use.text(), err=True)

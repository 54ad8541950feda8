"""The history as a table: a line for each run, the same on the page, in Prefect and in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from flows.dashboard.run import RunRecord
from flows.run import figures
from tasks.core.stages import in_order

if TYPE_CHECKING:
    from rich.table import Table


class Column(NamedTuple):
    """What a column shows of a run; a `number` is what its lines are sorted by.

    A terminal shows it from the width on, in characters, at which there is room for it.
    """

    name: str
    text: Callable[[RunRecord], str]
    number: Callable[[RunRecord], float | None] | None = None
    width: int = 0


def stages(run: RunRecord) -> str:
    """How long each stage took, in the order of the stages."""
    return "  ·  ".join(
        f"{stage} {figures.duration(run.seconds_by_stage[stage])}"
        for stage in in_order(set(run.seconds_by_stage))
    )


def losses(run: RunRecord) -> str:
    return figures.losses(run.base_loss, run.eval_loss) or figures.NONE


def _when(run: RunRecord) -> str:
    return f"{run.when.astimezone(UTC):%Y-%m-%d %H:%M}"


def _endpoint(run: RunRecord) -> str:
    """What became of the endpoint: its name is in the details."""
    if run.endpoint is None:
        return figures.NONE
    return run.deletion.state.value if run.deletion else "unknown"


def _reused(run: RunRecord) -> str:
    return ", ".join(thing.kind for thing in run.reused) or figures.NONE


WHEN, STATE, DURATION, COST = "when", "state", "duration", "cost"
COLUMNS = (
    Column(WHEN, _when, lambda run: run.when.timestamp()),
    Column(STATE, lambda run: run.state),
    Column("recipe", lambda run: run.recipe),
    Column("model", lambda run: run.model, width=110),
    Column("rows", lambda run: figures.count(run.rows), lambda run: run.rows, width=150),
    Column(DURATION, lambda run: figures.duration(run.seconds), lambda run: run.seconds),
    Column(
        "queued", lambda run: figures.duration(run.queued_seconds), lambda run: run.queued_seconds, width=150
    ),
    Column(COST, lambda run: figures.dollars(run.cost_usd), lambda run: run.cost_usd),
    Column("eval loss", losses, lambda run: run.eval_loss, width=80),
    Column("endpoint", _endpoint, width=130),
    Column("reused", _reused, width=160),
    Column("trigger", lambda run: run.trigger, width=130),
)
NAMES = frozenset({"recipe", "model"})  # as long as people make them
# Numbers are read from the right; a time is read like a name.
RIGHT = frozenset(column.name for column in COLUMNS if column.number is not None) - {WHEN}

_GAP = 2  # between two columns
_TONES = {"completed": "green", "failed": "red", "crashed": "red", "cancelled": "yellow", "running": "cyan"}


def lines(runs: Iterable[RunRecord]) -> list[dict[str, str]]:
    """The table in full, for where there is room: what the other columns leave to the details as well."""
    return [
        {column.name: column.text(run) for column in COLUMNS}
        | {
            "stages": stages(run),
            "outcome": f"{run.failed_stage or ''} {run.cause or ''}".strip(),
            "endpoint": f"{run.endpoint}: {run.deletion or 'unknown'}" if run.endpoint else figures.NONE,
            "reused": ", ".join(map(str, run.reused)) or figures.NONE,
        }
        for run in runs
    ]


def show(runs: Sequence[RunRecord]) -> None:
    """Print the runs as a table on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    if runs:
        columns = [column for column in COLUMNS if column.width <= console.width]
        console.print(_table(runs, columns, console.width))
    else:
        console.print("No such run. Start one: finetune run local")


def _table(runs: Sequence[RunRecord], columns: Sequence[Column], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", padding=(0, _GAP, 0, 0))
    names = _room_for_names(runs, columns, width)
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.name in RIGHT else "left",
            overflow="ellipsis",
            no_wrap=True,
            max_width=names if column.name in NAMES else None,
        )
    for run in runs:
        tone = _TONES.get(run.state, "")
        table.add_row(
            *(Text(column.text(run), style=tone if column.name == STATE else "") for column in columns)
        )
    return table


def _room_for_names(runs: Sequence[RunRecord], columns: Sequence[Column], width: int) -> int:
    """How wide a column of names may be: a time or a number that is cut would be another one."""
    names = [column for column in columns if column.name in NAMES]
    others = [column for column in columns if column.name not in NAMES]
    taken = sum(max(len(column.name), *(len(column.text(run)) for run in runs)) for column in others)
    return max((width - taken - _GAP * len(columns)) // max(len(names), 1), 1)

"""Like runs of before, as the Prefect server knows them; none is started for it."""

from __future__ import annotations

import asyncio

from flows.dashboard import reader
from flows.dashboard.run import RunRecord
from flows.dashboard.selection import Selection
from flows.plan.facts import Like
from flows.run.config import Finetune
from flows.run.prefect_api import is_lasting
from tasks.azure.errors import explain
from tasks.core.log import logger
from tasks.core.stages import Stage

_ENOUGH = 20  # of the newest


def of_configured(config: Finetune) -> tuple[Like, ...]:
    """Like runs of the server that is configured; none where none is."""
    return like(config) if is_lasting() else ()


def like(config: Finetune) -> tuple[Like, ...]:
    """The completed runs of the recipe and its model that have trained themselves."""
    wanted = Selection(states=("completed",), recipe=config.recipe, model=config.base.name, limit=_ENOUGH)
    try:
        found = asyncio.run(reader.read(wanted))
    except Exception as error:  # noqa: BLE001 - a plan is made without them
        logger().info("No like runs: %s", explain(error).what)
        return ()
    return tuple(each for run in found if (each := _read(run)) is not None)


def _read(run: RunRecord) -> Like | None:
    """None for a run that has used another run's job, whose time is not its own."""
    seconds = run.seconds_by_stage.get(Stage.TRAIN)
    if not seconds or not run.rows or any(each.kind == "job" for each in run.reused):
        return None
    worked = max(seconds - (run.queued_seconds or 0.0), 0.0)
    return Like(hours=worked / 3600, dollars=run.training_usd, rows=run.rows)

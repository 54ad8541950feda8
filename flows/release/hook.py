"""What Prefect's hooks release of runs whose own processes cannot any more."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from flows.run.config import Finetune
from flows.run.workspace import opened
from tasks.core import outage
from tasks.reap import Released, release
from tasks.sign_in import sign_in


def release_runs(config: Finetune, runs: Iterable[str], *, training: bool) -> list[Released]:
    """End what flow runs still bill, with the patience of a clean-up; what was ended, run by run.

    With `training` their live jobs and clusters too. Raises Failure as `tasks.reap.release` does.
    """
    with (
        opened(config.workspace.where, config.workspace.credentials),
        outage.budget(config.wait.outage_minutes),
    ):
        session = sign_in.fn(config.workspace)
        return [
            outage.outlast(partial(release, session, run, training=training), outage.CLEAN_UP) for run in runs
        ]

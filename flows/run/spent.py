"""The dollars that a run has spent, as far as its process can know them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.job.meter import Bill


class Spent(BaseModel):
    """US dollars of a run's jobs and of its deployments."""

    model_config = ConfigDict(frozen=True)

    training: Bill = Bill(at_least=False)
    serving: float = 0.0

"""The most that a run can cost: what ends its training, and what ends its endpoint; US dollars."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from flows.run.config import Finetune


class Bound(StrEnum):
    """What ends the training at the latest."""

    TIMEOUT = "time-out"
    BUDGET = "budget"


class Most(BaseModel):
    """The most that the run can cost; None where no price is known, or an endpoint is kept for ever.

    `serving` goes to the end of the endpoint's lease, after which the reaper deletes what a lost run left.
    """

    model_config = ConfigDict(frozen=True)

    training: float | None
    bound: Bound
    training_hours: float
    serving: float | None
    serving_hours: float | None

    @property
    def dollars(self) -> float | None:
        if self.training is None or self.serving is None:
            return None
        return self.training + self.serving


def most(config: Finetune, training: float | None, serving: float | None) -> Most:
    """By the dollars an hour of the training and of the serving; None or 0 is a price that is not known."""
    budget, hours = config.wait.budget_usd, config.wait.timeout_hours
    until_timeout = training * hours if training else None
    by_budget = budget is not None and until_timeout is not None and budget < until_timeout
    up = _up(config)
    return Most(
        training=budget if by_budget else until_timeout,
        bound=Bound.BUDGET if by_budget else Bound.TIMEOUT,
        training_hours=hours,
        serving=serving * up if serving and up is not None else None,
        serving_hours=up,
    )


def _up(config: Finetune) -> float | None:
    """Hours from the endpoint's first request until its lease has ended; None for ever."""
    deploy = config.deploy
    hours = max(deploy.lease_hours, deploy.timeout_minutes / 60)
    if not deploy.is_kept:
        return hours
    kept = deploy.kept_hours()
    return None if kept is None else hours + kept

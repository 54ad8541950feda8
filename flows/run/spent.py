"""The dollars that a run has spent, as far as its process can know them, and whose job they were spent on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.job.meter import Bill

NOTHING = Bill(at_least=False)


class JobCost(BaseModel):
    """What a job has cost in all, and how much of that is `counted` in this run's dollars; `run` holds it.

    Of a job that another run holds, as a rule nothing is: that run reports it. Where nobody went on with that
    run, whoever took its job over counts what it has not reported.
    """

    model_config = ConfigDict(frozen=True)

    workspace: str
    name: str
    run: str
    dollars: float
    counted: float = 0.0


class Spent(BaseModel):
    """US dollars of a run's jobs and of its deployments, and of each job."""

    model_config = ConfigDict(frozen=True)

    training: Bill = NOTHING
    serving: Bill = NOTHING
    jobs: tuple[JobCost, ...] = ()

    @property
    def is_least(self) -> bool:
        """Whether it may have been more."""
        return any(bill.at_least and bill.dollars for bill in (self.training, self.serving))

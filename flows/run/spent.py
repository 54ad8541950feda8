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

    def with_idle(self, job: str, dollars: float) -> Spent:
        """With the idle time of nodes that the job has taken over."""
        jobs = tuple(
            each.model_copy(update={"dollars": each.dollars + dollars, "counted": each.counted + dollars})
            if each.name == job
            else each
            for each in self.jobs
        )
        training = self.training + Bill(dollars=dollars, at_least=False)
        return self.model_copy(update={"training": training, "jobs": jobs})

    @property
    def is_least(self) -> bool:
        """Whether it may have been more."""
        return any(bill.at_least and bill.dollars for bill in (self.training, self.serving))

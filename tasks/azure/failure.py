"""Failures as people want to read them: what happened, what to do, then the service's own words."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Any

from tasks.azure.redaction import redact


class Cause(StrEnum):
    """Why a run did not succeed: few enough to count, to colour and to alert on.

    It is set where the failure is raised, and kept in the report, the history and the metrics. A value that
    this version does not know, as in a report that a later one wrote, is OTHER.
    """

    QUOTA = "quota"  # the subscription may not have more cores, nodes or endpoints
    CAPACITY = "capacity"  # Azure has no free machines at the moment
    PERMISSION = "permission"  # signed in, and not allowed
    SIGN_IN = "sign-in"  # no credential that Azure accepts
    UNREACHABLE = "unreachable"  # Azure, the hub or the network does not answer, or is busy
    NAME_TAKEN = "name taken"  # of an endpoint or a model's version, by somebody else or for good
    NOT_FOUND = "not found"  # what the recipe names does not exist, or is gone: a workspace, model, split, …
    IN_USE = "in use"  # somebody else needs, holds or changes the thing
    CONFIGURATION = "configuration"  # a wrong recipe, field, setting or argument; something not installed
    MODEL = "model"  # retired, archived, or without what is needed
    COMPUTE = "compute"  # a size or cluster that does not suit
    DATA = "data"  # files that cannot be read, or rows that cannot be used
    JOB = "job failed"  # a step of the training failed, or the job as a whole
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"  # it ran or waited longer than allowed
    BUDGET = "budget"  # it cost as much as allowed
    DEPLOYMENT = "deployment failed"  # the endpoint or its container did not become ready
    GATE = "gate"  # the tuned model has not reached what the recipe asks of it
    ANSWER = "no answer"  # the deployment refuses a question, or answers it wrongly
    DELETION = "not deleted"  # something billed could not be deleted or cancelled
    STORAGE = "storage"  # the workspace's storage refuses, or the disk is full
    PREFECT = "prefect"  # the server of the flow itself
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    OTHER = "other"  # not foreseen: the failure's text is all that is known

    @classmethod
    def _missing_(cls, value: object) -> Cause:
        return cls.OTHER


LIMITS = frozenset({Cause.BUDGET, Cause.TIMED_OUT})  # what the recipe allows a run, and the run has used up


class Failure(Exception):
    """Something a stage could not do.

    `what` happened and what to `do` about it read as one line; `details` are the service's own words. A
    `retryable` failure may be gone when the same is tried again, after the seconds of `retry_after` where the
    service names some.
    """

    def __init__(
        self,
        what: str,
        do: str = "",
        details: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
        *,
        cause: Cause,
    ) -> None:
        self.what, self.do, self.details = redact(what), redact(do), redact(details)
        # In full, or a pickled failure could not be read back; and without the secrets, which it would keep.
        super().__init__(self.what, self.do, self.details, retryable, retry_after)
        self.retryable = retryable
        self.retry_after = retry_after
        self.cause = cause

    def __str__(self) -> str:
        return " ".join(f"{self.what} {self.do}".split())

    def __reduce__(self) -> tuple[Any, ...]:
        """How to pickle it: an exception's own way passes on positional arguments only."""
        return partial(type(self), cause=self.cause), self.args, vars(self)

    def with_details(self, more: str) -> Failure:
        """The same failure, with more details below its own."""
        details = f"{self.details}\n\n{more}".strip()
        return Failure(self.what, self.do, details, self.retryable, self.retry_after, cause=self.cause)

"""Failures as people want to read them: what happened, what to do, then the service's own words."""

from __future__ import annotations

import re
from enum import StrEnum


class Cause(StrEnum):
    """Why a run did not succeed: few enough to count, to colour and to alert on.

    It is set where the failure is raised, and kept in the report, the history and the metrics.
    """

    QUOTA = "quota"  # the subscription may not have more cores, nodes or endpoints
    CAPACITY = "capacity"  # Azure has no free machines at the moment
    PERMISSION = "permission"  # signed in, and not allowed
    SIGN_IN = "sign-in"  # no credential that Azure accepts
    UNREACHABLE = "unreachable"  # Azure, the hub or the network does not answer, or is busy
    NAME_TAKEN = "name taken"
    NOT_FOUND = "not found"  # a workspace, model, component or endpoint that does not exist
    IN_USE = "in use"  # somebody else needs, holds or changes the thing
    CONFIGURATION = "configuration"  # a wrong recipe, field or setting
    MODEL = "model"  # retired, archived, or without what is needed
    COMPUTE = "compute"  # a size or cluster that does not suit
    DATA = "data"
    JOB = "job"  # a step of the training failed
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    BUDGET = "budget"
    CONTAINER = "container"  # the deployment did not become ready
    ANSWER = "answer"  # the deployment answers wrongly or not at all
    DELETION = "deletion"  # something billed could not be deleted or cancelled
    STORAGE = "storage"  # the workspace's storage refuses, or the disk is full
    PREFECT = "prefect"  # the server of the flow itself
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    OTHER = "other"


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
        cause: Cause = Cause.OTHER,
    ) -> None:
        self.what, self.do, self.details = redact(what), redact(do), redact(details)
        # In full, or a pickled failure could not be read back; and without the secrets, which it would keep.
        super().__init__(self.what, self.do, self.details, retryable, retry_after, cause)
        self.retryable = retryable
        self.retry_after = retry_after
        self.cause = cause

    def __str__(self) -> str:
        return " ".join(f"{self.what} {self.do}".split())


def redact(text: str) -> str:
    """The text without access keys, tokens and signatures."""
    text = re.sub(
        r"(?i)\b(sig|access_token|client_secret|primaryKey|secondaryKey)(\"?\s*[=:]\s*\"?)[^&\s\"',}]+",
        r"\1\2***",
        text,
    )
    return re.sub(r"(?i)\bBearer\s+[\w.~+/=-]+", "Bearer ***", text)

"""Outages: how long a run goes on trying while Azure is out of reach, and how often it looks meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TypeVar

from tasks.azure import clients
from tasks.azure.errors import explain, is_transient, is_unauthorised
from tasks.azure.failure import Cause, Failure
from tasks.core.log import logger

R = TypeVar("R")

# What still costs is not given up while there is hope: twice as long as anything else.
CLEAN_UP = 2.0
_FIRST, _LONGEST = 2.0, 60.0  # seconds between two attempts
_LONGEST_ASKED = 600.0  # seconds, of a pause that the service itself asks for
_ANOTHER = 600.0  # an attempt that went so long has met another outage than the one before

_minutes = 0.0  # outside of a run, the caller hears of it at once


@contextmanager
def budget(minutes: float) -> Iterator[None]:
    """Let all stages, in whatever thread, outlast so many minutes without Azure while the block runs."""
    global _minutes
    before, _minutes = _minutes, minutes
    try:
        yield
    finally:
        _minutes = before


def outlast(call: Callable[[], R], patience: float = 1.0) -> R:
    """The call's result, however often Azure is out of reach before; `patience` is a factor of the budget.

    With a new token where one is refused. Raises Failure once an outage has lasted longer than that; other
    errors as they are.
    """
    since: float | None = None
    pause = _FIRST
    while True:
        begun = monotonic()
        try:
            return _signed_in(call)
        except Exception as error:
            failure = explain(error)
            if not _is_outage(error, failure):
                raise
            now = monotonic()
            if since is None or now - begun > _ANOTHER:
                since, pause = begun, _FIRST
            if now - since >= _minutes * patience * 60:
                raise _given_up(failure, now - since) from error
        pause = min(pause, _LONGEST)
        asked = min(failure.retry_after or 0.0, _LONGEST_ASKED)
        logger().warning("Trying again: %s", failure)
        sleep(max(pause * random.uniform(0.75, 1.25), asked))
        pause *= 2


def _signed_in(call: Callable[[], R]) -> R:
    """The call's result; once more with a new token where one is refused, as an expired one is."""
    try:
        return call()
    except Exception as error:
        if not is_unauthorised(error):
            raise
        logger().info("A token was refused: signing in again")
    clients.forget()
    return call()  # a second refusal is no matter of an expired token


def _is_outage(error: Exception, failure: Failure) -> bool:
    """Whether Azure is away or busy, as opposed to one that says what may pass, such as no free machines."""
    return failure.cause is Cause.UNREACHABLE and is_transient(error)


def _given_up(failure: Failure, seconds: float) -> Failure:
    if seconds < 60:  # there was no budget: it is reported as what it is
        return failure
    return Failure(
        f"{failure.what} It was so for {seconds / 60:.0f} minutes.",
        failure.do,
        failure.details,
        cause=failure.cause,
    )

"""What a run shows in Prefect, which it outlives and does not wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic

from httpx import HTTPError
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.core.log import logger

AWAY = 300.0  # seconds for which a server that did not answer is taken to be out of reach
PATIENCE = 10.0  # seconds for its one answer: a run that is cancelled has 30 until it is killed

_away_until = 0.0


@contextmanager
def displaying() -> Iterator[None]:
    """Let a failure to show something pass with a warning: the run outlives what displays it.

    Prefect's client tries a request for a minute and longer, and the run shows something at every look at
    its job: as long as the server is out of reach, budgets and deletions would wait for that each time.
    """
    global _away_until
    try:
        with tried_once() if monotonic() < _away_until else nullcontext():
            yield
    except Exception as error:  # noqa: BLE001 - whatever it is, work that costs money goes on
        if isinstance(error, HTTPError):
            _away_until = monotonic() + AWAY
        logger().warning("An artifact could not be shown: %s", error)


def tried_once() -> AbstractContextManager[object]:
    """Have requests to Prefect within tried once, and not for long, by whatever client."""
    return temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: PATIENCE})

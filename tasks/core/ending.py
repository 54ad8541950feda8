"""Why a run is interrupted: a person wants it gone, with its job, or its process is taken from it."""

from __future__ import annotations

import signal
from enum import StrEnum
from functools import lru_cache

from prefect.client.orchestration import get_client
from prefect.exceptions import TerminationSignal
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run

from tasks.core.display import tried_once
from tasks.core.log import logger


class Ending(StrEnum):
    CANCELLED = "cancelled"  # a person wants it gone, and its job with it
    LOST = "lost"  # evicted, killed or disconnected: job and cluster are for the process that comes next


@lru_cache(maxsize=1)  # asked by every stage and block that the signal goes through
def ending_of(error: BaseException) -> Ending:
    """What an interruption is for the run of this process.

    Ctrl-C at a terminal is a person's wish, and so is a run that Prefect has cancelled. Nothing else is:
    SIGTERM comes with every eviction, SIGINT to a worker means the worker, and libraries raise SystemExit.
    """
    if isinstance(error, KeyboardInterrupt) and deployment.id is None:
        return Ending.CANCELLED
    return Ending.CANCELLED if _is_cancelled() else Ending.LOST


def signal_of(error: BaseException) -> str:
    """The signal that interrupted a process, as people know it; the error's own name where none did."""
    if isinstance(error, TerminationSignal):
        return signal.Signals(error.signal).name
    return "SIGINT" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def _is_cancelled() -> bool:
    """Whether the run is cancelled in Prefect; not where that cannot be asked: its hook will know."""
    run = this_run.id
    if run is None:
        return False
    try:
        with tried_once(), get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
    except Exception as error:  # noqa: BLE001 - a server out of reach, in whatever way, has said nothing
        logger().warning("Prefect does not say whether the run is cancelled, so its job stays: %s", error)
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())

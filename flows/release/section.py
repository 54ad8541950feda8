"""Sections in which what is billed is made or released, and which a second signal does not break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.futures import PrefectFuture
from prefect.runtime import deployment

from flows.run.context import Run
from tasks.core import signals

# The run of a deployment has 30 s from SIGTERM until it is killed; what is left then is for the hook.
_GRACE = 10.0


@contextmanager
def settled(run: Run, future: PrefectFuture[Any]) -> Iterator[None]:
    """Wait for what another thread creates however the block ends: until then it cannot be deleted."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            run.stages.interrupt()
            signals.hold()
        if signals.leaving():
            raise
        # Nobody kills a person's own process, which can take the time that the service takes.
        future.wait(timeout=None if deployment.id is None or isinstance(error, Exception) else _GRACE)
        raise


def released(run: Run, release: Callable[[], None]) -> None:
    """Release what costs; where the first signal comes in the midst of it, again, and undisturbed."""
    if signals.leaving():
        return
    try:
        release()
    except Exception:
        raise
    except BaseException:
        run.stages.interrupt()
        if not signals.leaving():
            signals.hold()
            release()
        raise

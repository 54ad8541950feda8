"""A stage of the workflow: a Prefect task whose errors read well and whose progress can be observed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Cancelled
from prefect.tasks import exponential_backoff
from prefect.transactions import get_transaction

from tasks.azure.errors import explain, is_transient
from tasks.azure.failure import Failure
from tasks.azure.redaction import redact
from tasks.core import outage, signals
from tasks.core.ending import Ending, ending_of, signal_of
from tasks.core.limit import TALK, within
from tasks.core.log import logger as logger
from tasks.core.stages import Stage

_LONGEST_PAUSE = 600.0  # seconds

P = ParamSpec("P")
R = TypeVar("R")


class StageState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # by a signal: the stage was neither done nor at fault


@dataclass(frozen=True)
class StageEvent:
    """What a stage does at this moment; `seconds` is how long it took, once it has ended."""

    stage: Stage
    state: StageState
    detail: str = ""
    seconds: float | None = None


_raised_by: dict[UUID, BaseException] = {}  # what a cancelled stage raises once Prefect has its state
# Of the block and of what it starts: runs side by side in one process are each observed by themselves.
_observers: ContextVar[tuple[Callable[[StageEvent], None], ...]] = ContextVar("observers", default=())
_current: ContextVar[Stage | None] = ContextVar("stage", default=None)


def stage(
    which: Stage,
    *,
    retries: int = 3,
    limit: float | None = TALK,
    patience: float = 1.0,
    run_name: str | None = None,
    **options: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a stage: uncached, tried again where that can help, its errors explained.

    An attempt may take `limit` seconds. An outage of the service is outlasted for the run's budget times
    `patience`; `retries` counts the attempts at what else may pass.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                with observed(which):
                    return asked(which, lambda: function(*args, **kwargs), limit=limit, patience=patience)
            except Exception:
                raise
            except BaseException as signal:
                if TaskRunContext.get() is None or ending_of(signal) is not Ending.CANCELLED:
                    raise
                return cast(R, _cancelled(signal))

        made: _Stage[P, R] = _Stage(
            run,
            name=which.value,
            task_run_name=run_name or which.value,
            retries=retries,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=_may_succeed_later,
            **{"cache_policy": NO_CACHE, **options},
        )
        made.limit = limit
        return made

    return decorate


def asked(which: Stage, call: Callable[[], R], *, limit: float | None = TALK, patience: float = 1.0) -> R:
    """What the call says, asked for as every stage asks the service: what asks outside of one does so too.

    Within the limit in seconds, with a new token for a refused one, and over an outage.
    """
    return outage.outlast(lambda: within(which.value, limit, call), patience)


@contextmanager
def observed(which: Stage) -> Iterator[None]:
    """Tell the observers when the stage begins and how it ends; raises its errors as failures."""
    begun = monotonic()
    token = _current.set(which)
    _publish(StageEvent(which, StageState.RUNNING))
    try:
        yield
    except Exception as error:
        failure = explain(error)
        _publish(StageEvent(which, StageState.FAILED, str(failure), monotonic() - begun))
        _wait_as_asked(failure)
        if failure is error:
            raise
        raise failure from error
    except BaseException as signal:
        signals.hold()  # at once: managers of processes signal a process and then its group
        how = f"interrupted by {signal_of(signal)}"
        _publish(StageEvent(which, StageState.INTERRUPTED, how, monotonic() - begun))
        raise
    else:
        _publish(StageEvent(which, StageState.DONE, seconds=monotonic() - begun))
    finally:
        _current.reset(token)


def report(detail: str) -> None:
    """Say what the current stage does at this moment; nobody hears it outside of one."""
    reporter()(detail)


def reporter() -> Callable[[str], None]:
    """`report` for the current stage, to be called from threads that know nothing of it."""
    current, observers = _current.get(), _observers.get()
    if current is None:
        return lambda detail: None
    return lambda detail: _publish(StageEvent(current, StageState.RUNNING, detail), observers)


def announce(which: Stage, detail: str) -> None:
    """Say what a stage does or is about to do."""
    _publish(StageEvent(which, StageState.RUNNING, detail))


@contextmanager
def observing(observer: Callable[[StageEvent], None], *, alone: bool = False) -> Iterator[None]:
    """Have the observer called, from whatever thread a stage of the block runs in, until the block ends.

    Beside those around the block, unless it shall be `alone`.
    """
    token = _observers.set((*(() if alone else _observers.get()), observer))
    try:
        yield
    finally:
        _observers.reset(token)


class _Stage(Task[P, R]):
    """A task that a cancelled run leaves as Cancelled: Prefect's own would say that it has crashed."""

    limit: float | None  # seconds of an attempt; None for one that has its own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        if isinstance(result, State) and (signal := _raised_by.pop(result.id, None)) is not None:
            raise signal
        return result


def _cancelled(signal: BaseException) -> State[Any]:
    """The state of a stage that the signal has ended; nothing of it is kept for a later run to find."""
    transaction = get_transaction()
    if transaction is not None:
        transaction.write_on_commit = False
    state: State[Any] = Cancelled(message="The run was cancelled.")
    _raised_by[state.id] = signal
    return state


def _wait_as_asked(failure: Failure) -> None:
    """Let the time pass that the service wants between two requests, where there will be a second one."""
    context = TaskRunContext.get()
    if context is None or not failure.retryable or failure.retry_after is None:
        return
    if context.task_run.run_count <= context.task.retries:
        logger().info("The service asks for a pause of %.0f s", failure.retry_after)
        sleep(min(failure.retry_after, _LONGEST_PAUSE))


def _publish(event: StageEvent, observers: Sequence[Callable[[StageEvent], None]] | None = None) -> None:
    """Let the observers hear it; one that cannot show it, as on a terminal that is gone, ends no run."""
    event = replace(event, detail=redact(event.detail))
    for observer in _observers.get() if observers is None else observers:
        try:
            observer(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, work that costs money goes on
            logger().debug("An observer of the stages has failed: %s", error)


# Prefect wants a plain function here: a partial or a callable object silently switches retries off.
def _may_succeed_later(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, Failure) and is_transient(error)

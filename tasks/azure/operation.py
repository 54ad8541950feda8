"""Long operations of the service, followed by the state of the thing that they change."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from tasks.azure import clients
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure

_SETTLED = frozenset({"Succeeded", "Failed", "Canceled"})
_LIMIT = 30 * 60  # seconds; the service's own limit of one operation
_LONGEST = 10.0  # seconds between two polls


def is_settled(found: Any) -> bool:
    """Whether no operation on the thing is under way."""
    return state(found) in _SETTLED


def state(found: Any) -> str:
    return clients.state(found.provisioning_state)


def settled(get: Callable[[], Any], poller: Any = None) -> Any:
    """Poll until the thing is in a state that stays; returns it, None when it is gone.

    The SDK's own poller looks every five seconds, and gives up at the first lost connection; it is asked only
    for the error of what it has seen fail.
    """
    begun = monotonic()
    while (found := get()) is not None and not is_settled(found):
        waited = monotonic() - begun
        if waited > _LIMIT:
            raise Failure(
                f"{found.name!r} has been {state(found)} for {waited / 60:.0f} minutes.",
                "See its page in the studio; run again to go on.",
                cause=Cause.TIMED_OUT,
            )
        _pause(waited)
    if found is not None and state(found) != "Succeeded" and poller is not None:
        poller.result()  # raises what the operation says went wrong
    return found


def delete(begin: Callable[[], Any]) -> None:
    """Ask for a deletion; after a lost answer the thing may be missing already, which is what was wanted."""
    try:
        begin()
    except Exception as error:
        if not is_missing(error):
            raise


def gone(get: Callable[[], Any], what: str, by_hand: str) -> None:
    """Poll until the thing is seen to be gone.

    Raises a Failure worth a retry, naming the command that deletes it by hand, when it does not go.
    """
    begun = monotonic()
    while (found := get()) is not None:
        waited = monotonic() - begun
        if state(found) == "Failed" and waited > 1:
            raise Failure(
                f"The {what} could not be deleted and is still billed.",
                f"Delete it in the studio, or run: {by_hand}",
                retryable=True,
                cause=Cause.DELETION,
            )
        if waited > _LIMIT:
            raise Failure(
                f"The {what} is still {state(found)} after {waited / 60:.0f} minutes.",
                "`finetune reap` deletes it later.",
                retryable=True,
                cause=Cause.DELETION,
            )
        _pause(waited)


def _pause(waited: float) -> None:
    sleep(min(_LONGEST, max(0.2, waited * 0.1)))

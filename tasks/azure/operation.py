"""Long operations of the service, followed by the state of the thing that they change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any, TypeVar

from tasks.azure import clients, service_clock
from tasks.azure.errors import explain, is_missing
from tasks.azure.failure import Cause, Failure

T = TypeVar("T")

_SETTLED = frozenset({"Succeeded", "Failed", "Canceled"})
_USUAL = 30.0  # minutes that an operation may take; deployments have a limit of their own
_OTHERS = 10.0  # minutes that another operation on the same thing is waited for
# Minutes that a deletion may be refused for another operation, and as many again that it may take. A
# deployment that never gets ready keeps its endpoint busy for as long as its probes allow.
_DELETION = 45.0
_LONGEST = 10.0  # seconds between two polls
_AGAIN = 20.0  # seconds until what was refused is asked for again


@dataclass(frozen=True)
class Billed:
    """Something that costs until it is gone: what it is, the command that deletes it, its price in words."""

    label: str
    command: str
    price: Callable[[], str]

    def left(self, why: str) -> Failure:
        """The failure that says that it is still there."""
        return Failure(
            f"The {self.label} {why} and still costs {self._price()}.",
            f"Run: {self.command} (`finetune reap` does it once its lease has ended).",
            cause=Cause.DELETION,
        )

    def _price(self) -> str:
        try:
            return self.price()
        except Exception as error:  # noqa: BLE001 - that it is left must be said in any case
            return f"an amount that cannot be looked up ({explain(error).what})"


def is_settled(found: Any) -> bool:
    """Whether no operation on the thing is under way."""
    return state(found) in _SETTLED


def state(found: Any) -> str:
    return clients.state(found.provisioning_state)


def begin(ask: Callable[[], T]) -> T:
    """What the request returns that begins an operation; asked again while another one is under way.

    Azure refuses a deployment for a while after a GET has said that its endpoint is settled
    (azure-sdk-for-net #36961). Raises a Failure once that has gone on for ten minutes.
    """
    begun = monotonic()
    while True:
        try:
            return ask()
        except Exception as error:
            failure = explain(error)
            if failure.cause is not Cause.IN_USE or not failure.retryable:
                raise
            waited = monotonic() - begun
            if waited >= _OTHERS * 60:
                raise Failure(
                    f"{failure.what} It has been so for {waited / 60:.0f} minutes.",
                    "See the endpoint's page in the studio; run again to go on.",
                    failure.details,
                    cause=Cause.IN_USE,
                ) from error
        sleep(_AGAIN)


def settled(get: Callable[[], Any], poller: Any = None, minutes: float = _USUAL) -> Any:
    """Poll until the thing is in a state that stays; returns it, None when it is gone.

    It follows the service, which ends an operation when it likes, and gives up after so many minutes. The
    SDK's own poller gives up at the first lost connection: it is asked only for what the operation itself
    has failed with.
    """
    begun = monotonic()
    while (found := get()) is not None and not is_settled(found):
        _raise_outcome(poller)
        waited = monotonic() - begun
        if waited > minutes * 60:
            raise Failure(
                f"{found.name!r} has been {state(found)} for {waited / 60:.0f} minutes.",
                "See its page in the studio; run again to go on.",
                cause=Cause.TIMED_OUT,
            )
        _pause(waited)
    if found is not None and state(found) != "Succeeded" and poller is not None:
        poller.result()  # raises what the operation says went wrong
    return found


def delete(ask: Callable[[], Any], billed: Billed) -> Any:
    """Ask for a deletion; after a lost answer the thing may be missing already, which is what was wanted.

    Returns the poller that asking gave, None for what is missing.

    While another operation is under way it may be refused: it is asked for again for 45 minutes. Raises a
    Failure that names what is left, its price and the command that deletes it.
    """
    begun = monotonic()
    while True:
        try:
            return ask()
        except Exception as error:
            if is_missing(error):
                return None
            failure = explain(error)
            if failure.cause is not Cause.IN_USE:
                raise
            waited = monotonic() - begun
            if waited > _DELETION * 60:
                why = f"could not be deleted for {waited / 60:.0f} minutes ({failure.what})"
                raise billed.left(why).with_details(failure.details) from error
        sleep(_AGAIN)


def gone(get: Callable[[], Any], billed: Billed) -> datetime | None:
    """Poll until the thing is seen to be gone; returns when it was last seen, by the service's clock.

    Raises a Failure that names what is left, its price and the command that deletes it, when it does not go.
    """
    begun, seen = monotonic(), None
    while (found := get()) is not None:
        waited, seen = monotonic() - begun, service_clock.now()
        if state(found) == "Failed" and waited > 1:
            raise Failure(
                f"The {billed.label} could not be deleted and is still billed.",
                f"Delete it in the studio, or run: {billed.command}",
                retryable=True,
                cause=Cause.DELETION,
            )
        if waited > _DELETION * 60:
            raise billed.left(f"is still {state(found)} after {waited / 60:.0f} minutes")
        _pause(waited)
    return seen


def wait(seconds: float) -> None:
    """Let so many seconds pass, by the clock that operations are followed by."""
    sleep(seconds)


def _raise_outcome(poller: Any) -> None:
    """Raise what the operation has ended with, where the poller has seen it fail, whatever the thing says."""
    if poller is None or not poller.done():
        return
    try:
        poller.result()
    except Exception as error:
        if type(error.__cause__).__name__ == "OperationFailed":  # azure-core: not merely a lost connection
            raise


def _pause(waited: float) -> None:
    sleep(min(_LONGEST, max(0.2, waited * 0.1)))

"""Long operations: begun by a request, ended by time, by work done, or by hand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from secrets import token_urlsafe
from uuid import uuid4

from azureml_local.errors import NotFound, ServiceError
from azureml_local.settings import WORKSPACE_GUID, Pace
from azureml_local.state.clock import Clock, iso
from azureml_local.state.document import D, Json, Kind
from azureml_local.state.documents import (
    BATCH_DEPLOYMENTS,
    BATCH_ENDPOINTS,
    DEPLOYMENTS,
    ENDPOINTS,
    OPERATIONS,
    SCHEDULES,
    UNFINISHED_OPERATIONS,
    OperationDocument,
)
from azureml_local.state.faults import operation_sticks
from azureml_local.state.store import Store
from azureml_local.state.transitions import Transition

_LIFETIME = 86400.0
# How the ids begin of operations on endpoints and deployments (recorded in 2025; oe: and od: in 2022), and on
# those of batches (2023).
_PREFIXES = {
    ENDPOINTS.name: "oeidp",
    DEPLOYMENTS.name: "odidp",
    BATCH_ENDPOINTS.name: "bebes",
    BATCH_DEPLOYMENTS.name: "bdbes",
}
logger = logging.getLogger(__name__)

Work = Callable[[], None]


class Operations:
    """Moves documents through their transitions and remembers each operation for whoever polls it.

    A document's `properties.provisioningState` follows the transition. At the pace `instant` an operation
    without work ends before `begin` returns, at `real` after the transition's seconds, at `manual` when
    `step` is called. An operation with work runs it in a thread and ends with it, at `real` not before the
    transition's seconds.
    """

    def __init__(self, store: Store, clock: Clock, pace: Pace, guid: str = WORKSPACE_GUID) -> None:
        self._guid = guid
        self._store = store
        self._clock = clock
        self._pace = pace
        self._held: dict[str, Work] = {}  # work that waits to be stepped
        self._timers: list[threading.Timer] = []

    def begin(self, kind: Kind[D], name: str, transition: Transition, *, work: Work | None = None) -> str:
        """Put the document into the transition's state and start; returns the operation's id.

        A ServiceError raised by `work` becomes the operation's error and the document's state Failed.
        """
        operation_id = self._new_id(kind.name)
        operation: OperationDocument = {
            "kind": kind.name,
            "name": name,
            "transition": {
                "during": transition.during,
                "after": transition.after,
                "seconds": transition.seconds,
            },
            "works": work is not None,
            "status": "InProgress",
            "startTime": iso(self._clock.now()),
            "started": time.time(),
            "endTime": None,
            "error": None,
        }
        with self._store.transaction():
            self._set_state(kind.name, name, transition.during)
            self._store.create(OPERATIONS, operation_id, operation)
        self._advance(operation_id, work)
        return operation_id

    def get(self, operation_id: str) -> OperationDocument:
        """The operation: status InProgress, Succeeded, Failed or Canceled, with its times and error."""
        operation = self._store.get(OPERATIONS, operation_id)
        if operation is None:
            raise NotFound(f"The operation {operation_id} does not exist.", code="OperationNotFound")
        return operation

    def knows(self, operation_id: str) -> bool:
        """Whether the operation was begun here."""
        return self._store.get(OPERATIONS, operation_id) is not None

    def in_progress(self, kind: Kind[D], name: str) -> list[str]:
        """The ids of operations on that document that have not ended."""
        return [
            operation_id
            for (_, operation_id), operation in self._store.oldest(UNFINISHED_OPERATIONS)
            if operation["kind"] == kind.name and operation["name"].lower() == name.lower()
        ]

    def finish(self, operation_id: str, error: ServiceError | None = None) -> None:
        """End the operation and move its document on; one that has ended, or was cleared, stays as it is."""
        with self._store.transaction():  # who sees the operation ended sees the document moved on
            operation = self._store.get(OPERATIONS, operation_id)
            if operation is None or operation["status"] != "InProgress":
                return
            after = operation["transition"]["after"] if error is None else "Failed"
            self._set_state(operation["kind"], operation["name"], after)
            ended: OperationDocument = {
                **operation,
                "status": "Succeeded" if error is None else "Failed",
                "endTime": iso(self._clock.now()),
                "error": None if error is None else error.outcome(),
            }
            self._store.put(OPERATIONS, operation_id, ended)

    def step(self, operation_id: str) -> None:
        """By hand: let a waiting operation end, or start the work that it waits with."""
        self.get(operation_id)
        work = self._held.pop(operation_id, None)
        if work is None:
            self.finish(operation_id)
        else:
            self._run(operation_id, work)

    def waiting(self) -> list[str]:
        """The ids of all operations that have not ended, oldest first."""
        return [operation_id for (_, operation_id), _ in self._store.oldest(UNFINISHED_OPERATIONS)]

    def resume(self) -> None:
        """After a restart: go on with what waited for time; who gave an operation work finishes it.

        Operations that ended more than a day ago are forgotten: nobody polls them any more.
        """
        for operation_id, operation in self._store.list(OPERATIONS):
            if operation["status"] != "InProgress" and time.time() - operation["started"] > _LIFETIME:
                self._store.delete(OPERATIONS, operation_id)
        for operation_id in self.waiting():
            operation = self.get(operation_id)
            if not operation["works"]:
                self._advance(operation_id, None)

    def clear(self) -> None:
        """Forget all operations, also those under way."""
        self.close()
        self._held.clear()
        for operation_id, _ in self._store.list(OPERATIONS):
            self._store.delete(OPERATIONS, operation_id)

    def close(self) -> None:
        """Stop the timers; operations that wait for time go on with the next start."""
        for timer in self._timers:
            timer.cancel()

    def _advance(self, operation_id: str, work: Work | None) -> None:
        if self._pace == "manual" or operation_sticks.get():
            if work is not None:
                self._held[operation_id] = work
        elif work is not None:
            self._run(operation_id, work)
        else:
            self._finish_in_time(operation_id)

    def _finish_in_time(self, operation_id: str) -> None:
        """End the operation: now, or at the pace `real` when its seconds are over."""
        operation = self.get(operation_id)
        left = operation["transition"]["seconds"] - (time.time() - operation["started"])
        if self._pace != "real" or left <= 0:
            self.finish(operation_id)
            return
        timer = threading.Timer(left, self.finish, (operation_id,))
        timer.daemon = True
        self._timers = [t for t in self._timers if t.is_alive()] + [timer]
        timer.start()

    def _run(self, operation_id: str, work: Work) -> None:
        def run() -> None:
            try:
                work()
            except ServiceError as error:
                self.finish(operation_id, error)
            except Exception as error:  # the client must see an end
                logger.exception("operation %s failed", operation_id)
                self.finish(operation_id, ServiceError(500, "InternalServerError", str(error)))
            else:
                self._finish_in_time(operation_id)

        threading.Thread(target=run, name=f"operation-{operation_id}", daemon=True).start()

    def _set_state(self, kind_name: str, name: str, state: str | None) -> None:
        kind = Kind[Json](kind_name)
        if state is None:
            self._store.delete(kind, name)
            return

        def change(document: Json) -> Json:
            return {**document, "properties": {**document["properties"], "provisioningState": state}}

        try:
            self._store.update(kind, name, change)
        except NotFound:  # deleted meanwhile by a later operation, whose outcome stands
            logger.debug("%s %s is gone", kind_name, name)

    def _new_id(self, kind_name: str) -> str:
        prefix = _PREFIXES.get(kind_name)
        if kind_name == SCHEDULES.name:  # recorded in 2022
            return f"s:{self._guid}:{token_urlsafe(32)}"
        return f"{prefix}:{self._guid}:{uuid4()}" if prefix else str(uuid4())

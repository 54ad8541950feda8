"""Schedules: jobs that are submitted when the workspace's clock says so, which a test may move.

What was due while no server ran is not made up for: Azure's service is never down, so nothing documents it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from azureml_local.errors import NotFound, ServiceError
from azureml_local.execution import trigger
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import SCHEDULES
from azureml_local.state.job_documents import ScheduleDocument
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 0.2  # seconds between looks at the clock
_AT_ONCE = 1000  # moments that one move of the clock may pass, for each schedule

Act = Callable[[str, Json, dict[str, str]], None]


class Schedules:
    """Does what schedules say when they are due; a thread looks at the clock while there is one.

    `act` submits a job: its name, its definition, and properties that say where it comes from.
    """

    def __init__(self, state: WorkspaceState, act: Act) -> None:
        self._store = state.store
        self._clock = state.clock
        self._act = act
        self._seen = state.clock.now()  # all that was due until then has been done
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def get(self, name: str) -> ScheduleDocument:
        """The schedule; raises NotFound, in the words that were recorded."""
        document = self._store.get(SCHEDULES, name)
        if document is None:
            raise NotFound(f"Resource Trigger {name} not found", code="UserError", inner=("NotFound",))
        return document

    def resume(self) -> None:
        """Look at the clock from now on, where there is an enabled schedule."""
        with self._changed:
            if self._thread is None and not self._closed and self._enabled():
                self._seen = self._clock.now()
                self._thread = threading.Thread(target=self._watch, name="schedules", daemon=True)
                self._thread.start()

    def begin_again(self) -> None:
        """Count from the clock's present on: it has been set back."""
        self._seen = self._clock.now()

    def trigger(self, name: str, moment: datetime) -> str:
        """Do what the schedule says, now, as if it were that moment; returns the job's name."""
        document = self.get(name)
        job = f"{document['name']}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        definition = _resolved(
            document["properties"]["action"]["jobDefinition"],
            {
                "${{name}}": job,
                "${{creation_context.trigger_time}}": moment.astimezone(UTC).isoformat(),
            },
        )
        self._act(job, {"displayName": job, **definition}, {"azureml.scheduleid": document["name"]})
        return job

    def close(self) -> None:
        """Look no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, timeout=_LOOK_AGAIN):
                    return
            self._look()

    def _look(self) -> None:
        """Do what has been due since the last look, each schedule's in its order."""
        since, self._seen = self._seen, self._clock.now()
        for document in self._enabled():
            made = datetime.fromisoformat(document["enabled"])
            moments = trigger.read(document["properties"]["trigger"], made).after(max(since, made))
            for number, moment in enumerate(moments):
                if moment > self._seen or number == _AT_ONCE:
                    break
                self._try(document["name"], moment)

    def _try(self, name: str, moment: datetime) -> None:
        try:
            self.trigger(name, moment)
        except ServiceError as error:
            logger.warning("the schedule %s at %s: %s", name, iso(moment), error.message)

    def _enabled(self) -> list[ScheduleDocument]:
        found = (document for _, document in self._store.list(SCHEDULES))
        return [document for document in found if document["properties"]["isEnabled"]]


def _resolved(value: Any, places: dict[str, str]) -> Any:
    """The definition with what the service puts in when it is triggered."""
    if isinstance(value, str):
        for place, meant in places.items():
            value = value.replace(place, meant)
        return value
    if isinstance(value, list):
        return [_resolved(each, places) for each in value]
    if isinstance(value, dict):
        return {key: _resolved(each, places) for key, each in value.items()}
    return value

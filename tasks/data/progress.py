"""How far the stage is, for people: a line in the terminal, a progress artifact in Prefect."""

from __future__ import annotations

from threading import get_ident
from time import monotonic
from uuid import UUID

from prefect.context import TaskRunContext

from tasks.core.artifacts import create_progress_artifact, update_progress_artifact
from tasks.core.display import displaying
from tasks.core.stage import reporter
from tasks.data.progress_counter import Reading

KEY = "finetune-data-progress"
_EVERY = 1.0  # seconds between two words


class DataProgress:
    """Shows readings as they come, though not each; the artifact from the thread that made it alone."""

    def __init__(self) -> None:
        self._report = reporter()
        self._thread = get_ident()  # the others, which fetch, know nothing of the run
        self._artifact: UUID | None = None
        self._told = 0.0
        self._published = 0.0

    def __call__(self, reading: Reading) -> None:
        now = monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            self._report(str(reading))
        if now - self._published >= _EVERY and get_ident() == self._thread:
            self._published = now
            self._publish(reading.percent, str(reading))

    def end(self, outcome: str) -> None:
        """Nothing more comes."""
        self._report(outcome)
        self._publish(100.0, outcome)

    def _publish(self, percent: float, description: str) -> None:
        if TaskRunContext.get() is None:
            return
        with displaying():
            if self._artifact is None:
                self._artifact = create_progress_artifact(percent, key=KEY, description=description)
            else:
                update_progress_artifact(self._artifact, percent, description)

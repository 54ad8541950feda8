"""Metrics of a run: lines in its log, and values in MLflow on the step's run and on the whole job's."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Takes the values of a step."""

    def log(self, values: Mapping[str, float], step: int) -> None: ...


class Metrics:
    """Reports values; a run without a tracking server has the lines in its log alone.

    Values are sent by a thread of their own, so that training does not wait for the network, and again if
    the server cannot be reached for a while. NaN and infinite values are dropped, as the service does.
    """

    def __init__(self) -> None:
        self._runs = _runs()
        self._waiting: queue.SimpleQueue[tuple[dict[str, float], int, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, name="metrics", daemon=True)
        if self._runs:
            self._thread.start()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Report values at an optimiser step; 0 is before the first."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        print(
            f"step {step}: " + ", ".join(f"{name} {value:.6g}" for name, value in finite.items()), flush=True
        )
        if self._runs and finite:
            self._waiting.put((finite, step, int(time.time() * 1000)))

    def close(self) -> None:
        """Wait until all has been sent or given up."""
        if self._runs:
            self._waiting.put(None)
            self._thread.join()

    def _send_all(self) -> None:
        from azureml_local.components.training.tracking import NotTracked, Tracking

        tracking = Tracking.of_environment()
        while (entry := self._waiting.get()) is not None:
            values, step, moment = entry
            for run in self._runs:
                try:
                    tracking.log_batch(run, values, step, moment)
                except NotTracked as error:  # after two minutes of tries; the log has the values
                    print(f"The metrics of step {step} could not be sent to run {run}: {error}", flush=True)


def _runs() -> list[str]:
    """The runs to report to: this step's, and the job's that it belongs to."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return []
    names = (os.environ.get("MLFLOW_RUN_ID"), os.environ.get("AZUREML_ROOT_RUN_ID"))
    return list(dict.fromkeys(name for name in names if name))

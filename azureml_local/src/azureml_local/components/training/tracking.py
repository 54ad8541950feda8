"""MLflow's call that logs metrics, as its REST API documents it.

MLflow's own client makes the same call, and takes seconds of a processor to import while the training loads.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

# Seconds before each further try, and the answers that get one: those of MLflow's client.
PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_AGAIN = {408, 429, 500, 502, 503, 504}
_TIMEOUT = 120.0  # seconds


class NotTracked(Exception):
    """The service refuses the values, or could not be reached; the text says why."""


@dataclass(frozen=True)
class Tracking:
    """The tracking service at an https:// address, with the token that a job has for it."""

    address: str
    token: str

    @classmethod
    def of_environment(cls) -> Tracking:
        """The service that MLFLOW_TRACKING_URI names, of which azureml:// is the plug-in's word for https://."""
        address = os.environ["MLFLOW_TRACKING_URI"]
        if address.startswith("azureml://"):
            address = f"https://{address.removeprefix('azureml://')}"
        return cls(address, os.environ.get("MLFLOW_TRACKING_TOKEN", ""))

    def log_batch(self, run: str, values: Mapping[str, float], step: int, moment: int) -> None:
        """Log the values of a step, at a moment in ms since the epoch; raises NotTracked in the end."""
        metrics = [
            {"key": name, "value": value, "timestamp": moment, "step": step} for name, value in values.items()
        ]
        body = json.dumps({"run_id": run, "metrics": metrics}).encode()
        for pause in (*PAUSES, None):
            try:
                return self._post("runs/log-batch", body)
            except (OSError, http.client.HTTPException) as error:
                if pause is None or not _passes(error):
                    raise NotTracked(_said(error)) from error
                time.sleep(pause)

    def _post(self, path: str, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/api/2.0/mlflow/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            answer.read()


def _passes(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return not isinstance(error, urllib.error.HTTPError) or error.code in _AGAIN


def _said(error: Exception) -> str:
    if not isinstance(error, urllib.error.HTTPError):
        return str(error)
    return f"{error}: {error.read(500).decode(errors='replace')}"

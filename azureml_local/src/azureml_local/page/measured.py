"""What runs have measured, as MLflow keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from azureml_local.execution.workspace import Workspace
from azureml_local.page import curve


def measured(
    workspace: Workspace, names: Sequence[str]
) -> tuple[dict[str, float], dict[str, list[curve.Point]]]:
    """Last values and the losses' histories by name, of the first run that has each.

    Raises ServiceError while MLflow does not answer.
    """
    last: dict[str, float] = {}
    series: dict[str, list[curve.Point]] = {}
    for name in names:
        run = _ask(workspace, "runs/get", run_id=name).get("run", {})
        for metric in run.get("data", {}).get("metrics", ()):
            key = metric["key"]
            if key in last:
                continue
            last[key] = float(metric["value"])
            if key.rsplit("/", 1)[-1] in ("loss", "eval_loss"):
                history = _ask(workspace, "metrics/get-history", run_id=name, metric_key=key)
                series[key] = [(float(m.get("step", 0)), float(m["value"])) for m in history["metrics"]]
    return last, series


def _ask(workspace: Workspace, operation: str, **query: str) -> Mapping[str, Any]:
    """MLflow's answer; nothing for a run that it has not heard of."""
    path = f"/api/2.0/mlflow/{operation}?{urlencode(query)}"
    answer = workspace.tracking.forward("GET", path, b"", "application/json")
    found: Mapping[str, Any] = json.loads(answer.body) if answer.status == 200 else {}
    return found

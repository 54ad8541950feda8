"""Any other MLflow model, through its python_function flavour."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import infer_and_parse_data, predictions_to_json
from starlette.requests import Request
from starlette.responses import Response

from azureml_local.serving.answers import parsed, refusal

MLFLOW_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class PyfuncScorer:
    """Answers Azure's ``input_data`` request with the bare predictions, MLflow's own with ``predictions``."""

    methods: Sequence[str] = ("POST",)

    def __init__(self, folder: Path) -> None:
        self._model = mlflow.pyfunc.load_model(str(folder))
        self._schema = self._model.metadata.get_input_schema()
        self._turn = threading.Lock()  # a model need not be safe for threads

    async def score(self, request: Request, body: bytes) -> Response:
        return await asyncio.to_thread(self._score, body)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _score(self, body: bytes) -> Response:
        try:
            request = parsed(body)
            if not isinstance(request, dict):
                raise ValueError("the request body must be a JSON object with the key input_data")
            data, azure = self._input(request), "input_data" in request
        except (ValueError, MlflowException) as error:
            return refusal(str(error))
        try:
            with self._turn:
                predictions = self._model.predict(data, params=request.get("params") or None)
        except MlflowException as error:
            return refusal(error.message, error.get_http_status_code())
        return Response(_json(predictions, azure), media_type="application/json")

    def _input(self, request: dict[str, Any]) -> Any:
        if "input_data" in request:
            return _azure_input(request["input_data"], self._schema)
        given = [key for key in MLFLOW_KEYS if key in request]
        if len(given) != 1:
            raise ValueError(
                f"the request must have exactly one of the keys input_data, {', '.join(MLFLOW_KEYS)}; "
                f"it has {', '.join(request) or 'none'}"
            )
        return infer_and_parse_data({given[0]: request[given[0]]}, self._schema)


def _azure_input(data: Any, schema: Any) -> Any:
    """A table for {"columns", "data", "index"}, arrays for anything else; a list follows the schema."""
    if isinstance(data, dict) and "data" in data and data.keys() <= {"columns", "data", "index"}:
        return infer_and_parse_data({"dataframe_split": data}, schema)
    if schema is not None and not schema.is_tensor_spec() and isinstance(data, list):
        return infer_and_parse_data(
            {"dataframe_split": {"data": data, "columns": schema.input_names()}}, schema
        )
    return infer_and_parse_data({"inputs": data}, schema)


def _json(predictions: Any, azure: bool) -> str:
    if not azure:
        buffer = io.StringIO()
        predictions_to_json(predictions, buffer)
        return buffer.getvalue()
    if isinstance(predictions, pd.DataFrame | pd.Series):
        return str(predictions.to_json(orient="records"))
    return json.dumps(predictions, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)

"""Any other MLflow model, through its python_function flavour."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from azureml_local.serving.answers import parsed, refusal
from azureml_local.serving.own_loader import OwnLoader

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

MLFLOW_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class PyfuncScorer:
    """Answers Azure's ``input_data`` request with the bare predictions, MLflow's own with ``predictions``."""

    methods: Sequence[str] = ("POST",)

    def __init__(self, folder: Path) -> None:
        self._model: Any = OwnLoader.find(folder)
        self._schema = None
        if self._model is None:
            import mlflow.pyfunc

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
        except Exception as error:
            if isinstance(error, ValueError) or _is_mlflows(error):
                return refusal(str(error))
            raise
        try:
            with self._turn:
                predictions = self._model.predict(data, params=request.get("params") or None)
        except Exception as error:
            if not _is_mlflows(error):
                raise
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
        return _mlflows_input({given[0]: request[given[0]]}, self._schema)


def _azure_input(data: Any, schema: Any) -> Any:
    """A table for {"columns", "data", "index"}, arrays for anything else; a list follows the schema."""
    if isinstance(data, dict) and "data" in data and data.keys() <= {"columns", "data", "index"}:
        return _mlflows_input({"dataframe_split": data}, schema)
    if schema is not None and not schema.is_tensor_spec() and isinstance(data, list):
        return _mlflows_input({"dataframe_split": {"data": data, "columns": schema.input_names()}}, schema)
    if schema is None and isinstance(data, dict):  # as MLflow does, which need not be imported for it
        return {name: np.array(values) for name, values in data.items()}
    return _mlflows_input({"inputs": data}, schema)


def _mlflows_input(request: dict[str, Any], schema: Any) -> Any:
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    return infer_and_parse_data(request, schema)


def _is_mlflows(error: Exception) -> TypeGuard[MlflowException]:
    """Whether it is an error of MLflow, which only a model that needs it has imported."""
    module = sys.modules.get("mlflow.exceptions")
    return module is not None and isinstance(error, module.MlflowException)


def _json(predictions: Any, azure: bool) -> str:
    if not azure:
        from mlflow.pyfunc.scoring_server import predictions_to_json

        buffer = io.StringIO()
        predictions_to_json(predictions, buffer)
        return buffer.getvalue()
    pandas = sys.modules.get("pandas")  # a model that answers with a table has imported it
    if pandas is not None and isinstance(predictions, pandas.DataFrame | pandas.Series):
        return str(predictions.to_json(orient="records"))
    return json.dumps(predictions, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)

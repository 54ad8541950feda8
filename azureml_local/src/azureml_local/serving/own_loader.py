"""A python_function model that its own code loads, and of which MLflow knows nothing else.

Documented (mlflow.org, mlflow.pyfunc, "Filesystem format"): `loader_module` has a `_load_pyfunc(path)`,
`code` is a folder for Python's path and `data` is what is loaded. Without a signature MLflow hands the input
on as it is. Nothing of that needs MLflow, whose import takes two processor seconds of the server's start.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

logger = logging.getLogger(__name__)

# What of an MLmodel file changes nothing about how it is loaded or asked. With anything else MLflow is asked.
_PLAIN_MODEL = {"flavors", "artifact_path", "run_id", "model_uuid", "utc_time_created", "mlflow_version"}
_PLAIN_FLAVOUR = {"loader_module", "code", "data", "env", "python_version"}
_LOAD = "_load_pyfunc"


class OwnLoader:
    """A model that its own code has loaded, asked as `mlflow.pyfunc` asks one without a signature."""

    def __init__(self, folder: Path, flavour: Mapping[str, Any]) -> None:
        if code := flavour.get("code"):
            sys.path.insert(0, str(folder / code))
        data = folder / flavour["data"] if flavour.get("data") else folder
        load = getattr(importlib.import_module(flavour["loader_module"]), _LOAD)
        loaded = load(str(data))
        self._predict = loaded.predict
        taken = inspect.signature(self._predict).parameters.get("params")
        self._takes_params = taken is not None and taken.kind is not inspect.Parameter.VAR_KEYWORD

    @classmethod
    def find(cls, folder: Path) -> OwnLoader | None:
        """The model in that folder, loaded; None where it is one for MLflow to load."""
        description = yaml.safe_load((folder / "MLmodel").read_text())
        flavour = description.get("flavors", {}).get("python_function") or {}
        loader = str(flavour.get("loader_module", "mlflow"))
        is_plain = description.keys() <= _PLAIN_MODEL and flavour.keys() <= _PLAIN_FLAVOUR
        if not is_plain or loader.partition(".")[0] == "mlflow":
            return None
        return cls(folder, flavour)

    def predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        """What the model answers to the input; parameters reach only a model with a signature."""
        if params:
            logger.warning("The model's signature names no parameters: %s are ignored.", ", ".join(params))
        if not self._takes_params:
            return self._predict(data)
        return self._predict(data, params={} if params else None)

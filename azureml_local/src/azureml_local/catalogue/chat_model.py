"""An MLflow model folder around the weights and tokenizer of a chat model.

The folder loads with `mlflow.pyfunc.load_model` anywhere; the MLmodel file is written here rather than by
`mlflow.pyfunc.save_model` because the server and the last step would import all of MLflow for it.
"""

from __future__ import annotations

import platform
import shutil
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

TASK = "chat-completion"
IMAGE_KEY = "azureml.base_image"
"""In the MLmodel file's metadata: the image that serves the model on Azure."""

# Of a live chat model's MLmodel in the registry (azureml-assets, July 2026): the one with OpenAI's routes.
IMAGE = "mcr.microsoft.com/azureml/curated/foundation-model-inference:94"
_CODE = "chat_python_model.py"
_PACKAGES = ("mlflow", "torch", "transformers")


def write(folder: Path, *, metadata: Mapping[str, str], adapter: bool = False) -> None:
    """Make `folder`, which holds artifacts/model (and artifacts/adapter), an MLflow model.

    `metadata` is added to what the MLmodel file says of the model.
    """
    shutil.copyfile(Path(__file__).with_name(_CODE), folder / _CODE)
    requirements = [f"{package}=={version(package).split('+')[0]}" for package in _PACKAGES]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    _write_yaml(folder / "conda.yaml", _conda(requirements))
    _write_yaml(
        folder / "python_env.yaml",
        {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]},
    )
    artifacts = ["model", "adapter"] if adapter else ["model"]
    _write_yaml(folder / "MLmodel", _mlmodel(folder, artifacts, metadata))


def read_metadata(folder: Path) -> dict[str, str]:
    """What the MLmodel file in `folder` says of the model; empty without such a file."""
    path = folder / "MLmodel"
    if not path.is_file():
        return {}
    return dict((yaml.safe_load(path.read_text()) or {}).get("metadata") or {})


def _mlmodel(folder: Path, artifacts: list[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    return {
        "flavors": {
            "python_function": {
                "artifacts": {
                    name: {"path": f"artifacts/{name}", "uri": f"artifacts/{name}"} for name in artifacts
                },
                "code": None,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pyfunc.loaders.code_model",
                "model_code_path": _CODE,
                "python_version": platform.python_version(),
                "streamable": False,
            }
        },
        "metadata": {"task": TASK, **metadata},
        "mlflow_version": version("mlflow"),
        "model_size_bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "model_uuid": uuid.uuid4().hex,
        "signature": {
            "inputs": '[{"type": "string", "name": "input_string", "required": true}]',
            "outputs": '[{"type": "string", "name": "output", "required": true}]',
            "params": _PARAMS,
        },
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


_PARAMS = (
    '[{"name": "max_new_tokens", "default": 200, "shape": null, "type": "long"},'
    ' {"name": "temperature", "default": 0.6, "shape": null, "type": "double"},'
    ' {"name": "top_p", "default": 0.9, "shape": null, "type": "double"},'
    ' {"name": "do_sample", "default": true, "shape": null, "type": "boolean"}]'
)


def _conda(requirements: list[str]) -> dict[str, Any]:
    return {
        "name": "chat",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": requirements}],
    }


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))

"""Last step: the fine-tuned model as an MLflow model, ready to be registered and served."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from azureml_local.catalogue import chat_model
from azureml_local.catalogue.weights import STAND_IN_KEY
from azureml_local.components import interface
from azureml_local.components.arguments import parse
from azureml_local.components.interface import Port
from azureml_local.components.model_import import SOURCE
from azureml_local.components.training.names import ADAPTER, RECORD

_OUTPUTS = {"mlflow_model_folder": Port("mlflow_model")}


def main(arguments: list[str] | None = None) -> int:
    values = parse(__doc__ or "", interface.CONVERTER_INPUTS, _OUTPUTS, arguments)
    for name in ("model_import_output", "system_properties"):
        if values[name] is not None:
            print(f"{name} is accepted and has no effect here: the model folder says all that is needed.")
    model: Path = values["model_path"]
    if not (model / "config.json").is_file():
        print(f"There is no model in {model}: config.json is missing.", file=sys.stderr)
        return 1
    _convert(model, values["mlflow_model_folder"])
    return 0


def _convert(model: Path, folder: Path) -> None:
    weights = folder / "artifacts" / "model"
    weights.mkdir(parents=True, exist_ok=True)
    source, record = _json(model / SOURCE), _json(model / RECORD)
    for file in model.iterdir():
        if file.is_file() and file.name not in (SOURCE, RECORD):
            shutil.copyfile(file, weights / file.name)
    name = source.get("name", "")
    metadata = {"base_model": name, "base_model_name": name}
    # Azure's keeps the image where the base model's own settings enable vLLM, which is what it is named for.
    metadata |= {key: source[key] for key in (STAND_IN_KEY, chat_model.IMAGE_KEY) if key in source}
    adapter = model / ADAPTER
    if adapter.is_dir():
        shutil.copytree(adapter, folder / "artifacts" / ADAPTER, dirs_exist_ok=True)
    if adapter.is_dir() and not record.get("merged", True):
        from azureml_local.components.training import output

        output.merge(model, adapter, weights)  # an endpoint serves one set of weights
    chat_model.write(folder, metadata=metadata, adapter=adapter.is_dir())
    print(
        f"Wrote an MLflow model of {sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()):,} bytes."
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())

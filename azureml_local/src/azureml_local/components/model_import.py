"""Second step: the base model's weights, tokenizer and description, from wherever they come."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from azureml_local.catalogue import chat_model
from azureml_local.catalogue.weights import STAND_IN_KEY
from azureml_local.components import interface
from azureml_local.components.arguments import Values, parse
from azureml_local.components.interface import Port

SOURCE = "source.json"
"""Written beside the weights: what they are."""

_OUTPUTS = {"output_dir": Port("uri_folder")}
_PLACES = ("artifacts/model", "data/model", "model", ".")
_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_UNWANTED = {".bin", ".h5", ".msgpack", ".onnx", ".gguf", ".pt"}


def main(arguments: list[str] | None = None) -> int:
    values = parse(__doc__ or "", interface.IMPORT_INPUTS, _OUTPUTS, arguments)
    if values["finetune_config_path"] is not None:
        print(
            "finetune_config_path is accepted and has no effect here: the chat template is the model's own."
        )
    try:
        found = _source(values)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    weights, metadata = found
    if STAND_IN_KEY in metadata:
        print(f"STAND-IN: the weights of {metadata[STAND_IN_KEY]} stand in for those of {metadata['name']}.")
    output: Path = values["output_dir"]
    output.mkdir(parents=True, exist_ok=True)
    for file in weights.iterdir():
        if file.is_file() and file.suffix not in _UNWANTED:
            shutil.copyfile(file, output / file.name)
    (output / SOURCE).write_text(json.dumps(metadata, indent=1) + "\n")
    print(f"Imported {metadata.get('name', weights)}: {', '.join(sorted(f.name for f in output.iterdir()))}")
    return 0


def _source(values: Values) -> tuple[Path, dict[str, str]]:
    """The folder of weights and what is known of it. Raises ValueError when there is none."""
    mlflow, pytorch, hub = (
        values[name] for name in ("mlflow_model_path", "pytorch_model_path", "huggingface_id")
    )
    if mlflow is not None:
        return _weights(mlflow), chat_model.read_metadata(mlflow)
    if pytorch is not None:
        return _weights(pytorch), {"name": pytorch.name}
    if hub is not None:
        from huggingface_hub import snapshot_download

        return _weights(Path(snapshot_download(hub))), {"name": hub}
    raise ValueError("One of mlflow_model_path, pytorch_model_path and huggingface_id needs to be given.")


def _weights(folder: Path) -> Path:
    for place in _PLACES:
        if (folder / place / "config.json").is_file():
            missing = [name for name in _NEEDED if not (folder / place / name).is_file()]
            if not any((folder / place).glob("*.safetensors")):
                missing.append("*.safetensors")
            if missing:
                raise ValueError(f"The base model lacks {', '.join(missing)}.")
            return folder / place
    raise ValueError(
        f"No config.json was found in the base model; it was looked for in {', '.join(_PLACES)}."
    )


if __name__ == "__main__":
    sys.exit(main())

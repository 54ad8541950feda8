"""The weights behind the registry's models, as MLflow model folders in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from azureml_local import extras
from azureml_local.catalogue import chat_model, smollm2
from azureml_local.catalogue.own_models import missing, own_models

WEIGHTS_VARIABLE = "AZUREML_LOCAL_WEIGHTS"
"""Names a directory of Hugging Face folders called like the registry's models."""

STAND_IN_KEY = "stand_in"
"""In the MLmodel file's metadata: the model whose weights stand in for those of `name`."""

_LAYOUT = "2"  # to be raised when what a cached folder holds changes


def materialise(name: str, version: str, cache: Path) -> Path:
    """The MLflow model folder of a registry model, made on first use; not to be written to.

    Raises:
        RuntimeError: the weights could not be fetched, are not what they should be, or the extra is missing.
    """
    folder = place(name, version, cache)
    if (folder / "MLmodel").is_file():
        return folder
    extras.need_chat(f"The registry's model {name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as scratch:
        made = Path(scratch) / "model"
        _write(made, name, version, own_weights(name), cache)
        _publish(made, folder)
    return folder


def place(name: str, version: str, cache: Path) -> Path:
    """Where `materialise` makes the folder; another place for other weights.

    Raises:
        RuntimeError: the user's own weights lack something.
    """
    own = own_weights(name)
    source = _digest(own) if own else smollm2.SHA256
    key = hashlib.sha256("\n".join([_LAYOUT, name, version, source]).encode()).hexdigest()[:16]
    return cache / "models" / f"{name}-{version}-{key}"


def own_weights(name: str) -> Path | None:
    """The Hugging Face folder that the user keeps for this model, if there is one.

    Raises:
        RuntimeError: the folder is there and lacks something that is needed.
    """
    for model in own_models():
        if model.name == name:
            return model.weights
    directory = os.environ.get(WEIGHTS_VARIABLE)
    folder = Path(directory).expanduser() / name if directory else None
    if folder is None or not folder.is_dir():
        return None
    if lacking := missing(folder):
        raise RuntimeError(f"{folder}, found through {WEIGHTS_VARIABLE}, lacks {', '.join(lacking)}.")
    return folder.resolve()


def _write(folder: Path, name: str, version: str, own: Path | None, cache: Path) -> None:
    weights = folder / "artifacts" / "model"
    weights.mkdir(parents=True)
    metadata = {
        "name": name,
        "version": version,
        "base_model_name": name,
        chat_model.IMAGE_KEY: chat_model.IMAGE,
    }
    if own is not None:
        for file in own.iterdir():
            if file.is_file():
                (weights / file.name).symlink_to(file)  # many gigabytes, perhaps, and never written to
    else:
        smollm2.write(weights, cache / "downloads")
        if name != smollm2.NAME:
            metadata[STAND_IN_KEY] = smollm2.NAME
    chat_model.write(folder, metadata=metadata)


def _publish(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not (folder / "MLmodel").is_file():  # a folder without it is no one's finished work
            raise
        shutil.rmtree(made)  # someone else was first


def _digest(folder: Path) -> str:
    """Changes when a file of the folder does; sizes and times, for reading gigabytes would take minutes."""
    lines = [str(folder)]
    for file in sorted(folder.iterdir()):
        status = file.stat()
        lines.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

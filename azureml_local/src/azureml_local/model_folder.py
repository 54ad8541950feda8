"""Where a scoring script finds its model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def lay_out(parent: Path, model: Path) -> Path:
    """AZUREML_MODEL_DIR: `parent`, made to hold the model's file or folder under its own name.

    The files are linked hard where the disk allows it, else copied: MLflow refuses to load a model through
    symbolic links, as they lead out of the folder that it was given.
    """
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    if model.is_dir():
        shutil.copytree(model, parent / model.name, copy_function=_linked)
    else:
        _linked(str(model), str(parent / model.name))
    return parent


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

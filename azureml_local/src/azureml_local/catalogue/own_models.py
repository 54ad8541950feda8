"""Models of the user's own in the registry: folders in Hugging Face's format, named in a YAML file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from azureml_local.pretrained.architecture import Architecture

MODELS_VARIABLE = "AZUREML_LOCAL_MODELS"
"""Names the YAML file."""

_NEEDED = ("config.json", "tokenizer.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_FIELDS = frozenset({"name", "weights", "version", "description", "tags"})


class BadModels(RuntimeError):
    """The file does not say what models there are; the message says what to change."""


@dataclass(frozen=True)
class OwnModel:
    """A model by the name that it has in the registry, with the folder of its weights and tokenizer."""

    name: str
    weights: Path
    version: str = "1"
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def untrainable(self) -> str:
        """Why it cannot be fine-tuned here; empty where it can."""
        try:
            Architecture.of(self.weights)
        except (ValueError, KeyError) as error:
            return str(error) if isinstance(error, ValueError) else f"its config.json has no {error}."
        return ""


def own_models() -> list[OwnModel]:
    """The models of the file that the environment names; raises BadModels."""
    named = os.environ.get(MODELS_VARIABLE)
    if not named:
        return []
    file = Path(named).expanduser()
    try:
        listed = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise BadModels(f"{file}, named in {MODELS_VARIABLE}, cannot be read: {error}") from error
    if not isinstance(listed, list):
        raise BadModels(f"{file} must hold a list of models, each with a name and its weights.")
    models = [_model(file, each) for each in listed]
    if twice := {each.name for each in models if [one.name for one in models].count(each.name) > 1}:
        raise BadModels(f"{file} names {', '.join(sorted(twice))} more than once.")
    return models


def missing(folder: Path) -> list[str]:
    """What a folder lacks of a model in Hugging Face's format."""
    lacking = [file for file in _NEEDED if not (folder / file).is_file()]
    return lacking if any(folder.glob("*.safetensors")) else [*lacking, "*.safetensors"]


def _model(file: Path, given: Any) -> OwnModel:
    if not isinstance(given, dict) or not {"name", "weights"} <= given.keys():
        raise BadModels(f"Each model in {file} needs a name and the folder of its weights.")
    if unknown := sorted(given.keys() - _FIELDS):
        raise BadModels(f"{file} has a model with {_listed(unknown)}: known are {_listed(sorted(_FIELDS))}.")
    name, version = str(given["name"]), str(given.get("version", "1"))
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise BadModels(f"{file}: {name!r}, version {version!r}, must be letters, digits, ., _ or -.")
    folder = Path(str(given["weights"])).expanduser()
    folder = (folder if folder.is_absolute() else file.parent / folder).resolve()
    if lacking := missing(folder):
        raise BadModels(f"The weights of {name}, {folder}, lack {_listed(lacking)}.")
    tags = given.get("tags") or {}
    if not isinstance(tags, dict):
        raise BadModels(f"{file}: the tags of {name} must be names with values.")
    return OwnModel(
        name=name,
        weights=folder,
        version=version,
        description=str(given.get("description", "")),
        tags={str(key): str(value) for key, value in tags.items()},
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)

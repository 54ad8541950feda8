"""The image that serves a model without an environment of one's own: its MLmodel names it."""

from __future__ import annotations

import re
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import explain, is_unauthorised
from tasks.core.log import logger
from tasks.data import model_files
from tasks.model_version import REGISTERED, BaseModelVersion
from tasks.sections.base import Base

_MLMODEL = "MLmodel"
_IMAGE = re.compile(r"/foundation-model-inference:(\d+)$")
# The pipeline's component saves with transformers 5. Older images have a vLLM that takes none above 4
# (ms-swift issue 8098); from which version on is read from azureml-assets, and not tried.
_OLDEST = 61


class ServingImage(BaseModel):
    """The image that a model's MLmodel names; empty where it names none."""

    model_config = ConfigDict(frozen=True)

    name: str

    @property
    def chats(self) -> bool:
        """Whether it answers OpenAI's requests below /v1, which only the image for chat models does."""
        return _IMAGE.search(self.name) is not None

    def __str__(self) -> str:
        """Which image serves the model, by which routes, and in which shape it answers."""
        if not self.name:
            return (
                "Azure's general image for MLflow: /score alone, answers [{\"0\": text}], and the model's "
                "environment is built at each start of a machine, which takes minutes and the internet"
            )
        short = self.name.rsplit("/", 1)[-1]
        if self.chats:
            return f'{short}: /score, which answers {{"output": text}}, and OpenAI\'s /v1/chat/completions'
        return f"{short}, whose routes are not known here"

    @property
    def doubt(self) -> str:
        """Why a deployment of the tuned model may not start; empty where nothing speaks against it."""
        if not self.name:
            return "its MLmodel names no serving image, so that Azure's general one for MLflow serves it"
        found = _IMAGE.search(self.name)
        if found and int(found[1]) < _OLDEST:
            return f"its image is version {found[1]}, and what the component saves needs {_OLDEST}"
        return ""


def find_image(session: Session, base: Base, found: BaseModelVersion) -> ServingImage:
    """The image of a registry model's version, by its MLmodel, which is read and not kept."""
    models = clients.assets(session, base.registry).models
    content = model_files.read_file(models, models.get(found.name, version=found.version), _MLMODEL)
    return ServingImage(name=image_of(content.decode() if content else ""))


def image_of_model(session: Session, id: str) -> ServingImage | None:
    """The image of a registered or a registry's model, by its id; None where its MLmodel cannot be read."""
    found = REGISTERED.search(id)
    if found is None:
        return None
    registry, name, version = found.groups()
    try:
        models = clients.assets(session, registry).models
        content = model_files.read_file(models, models.get(name, version=version), _MLMODEL)
    except Exception as error:
        if is_unauthorised(error):  # by an expired token: the stage signs in again
            raise
        logger().warning("Which image serves %s is not known: %s", name, explain(error).what)
        return None
    return ServingImage(name=image_of(content.decode() if content else ""))


def image_of(mlmodel: str) -> str:
    """The image that an MLmodel's text names under `metadata`, in either of the forms that occur."""
    document: Any = yaml.safe_load(mlmodel) if mlmodel else None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return ""
    nested = metadata.get("azureml")
    image = metadata.get("azureml.base_image") or (nested or {}).get("base_image")
    return str(image or "")

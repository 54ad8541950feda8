"""The base model: which version of which registry model is fine-tuned, and what it asks for."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.azure import clients, private
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.model_files import find_window
from tasks.data.window import Window

# A workspace that has not a model's own weights says so with this tag, naming whose it has.
_STAND_IN = "local_stand_in"


class Base(BaseModel):
    """The registry model to start from."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Base model")

    name: str = Field("SmolLM2-135M-Instruct", description="The model's name in the registry.", min_length=1)
    version: str | None = Field(None, description="A version; the newest when left out.")
    registry: str = Field("azureml", description="The registry that offers the model.", min_length=1)


class BaseModelVersion(BaseModel):
    """One version of a registry model.

    An allow-list is None when the model has none; `defaults` are its model_specific_defaults as stated.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    id: str
    name: str
    version: str
    description: str
    finetune_sizes: tuple[str, ...] | None
    inference_sizes: tuple[str, ...] | None
    defaults: dict[str, Any]
    warnings: tuple[str, ...]
    window: Window = Window()


@stage(Stage.BASE_MODEL)
def find_model(session: Session, base: Base) -> BaseModelVersion:
    """Look the model up by version, or its newest by label; warns of archived and retired models."""
    models = clients.assets(session, base.registry).models
    try:
        model = (
            models.get(base.name, version=base.version)
            if base.version
            else models.get(base.name, label="latest")
        )
    except Exception as error:
        if is_missing(error):
            wanted = f"version {base.version} of {base.name!r}" if base.version else repr(base.name)
            raise Failure(
                f"The registry {base.registry!r} has no model {wanted}.",
                "Look up its name and versions in the studio's model catalogue.",
                str(error),
                cause=Cause.NOT_FOUND,
            ) from error
        raise
    properties = private.model_properties(models, model.name, model.version)
    found = describe(
        id=model.id,
        name=model.name,
        version=str(model.version),
        description=model.description or "",
        tags=model.tags or {},
        metadata=properties.get("systemMetadata") or {},
        archived=bool(properties.get("isArchived")),
        today=datetime.now(UTC).date(),
    )
    logger().info("Base model %s, version %s", found.name, found.version)
    for warning in found.warnings:
        logger().warning(warning)
    return found.model_copy(update={"window": find_window(models, model)})


def describe(
    *,
    id: str,
    name: str,
    version: str,
    description: str,
    tags: Mapping[str, str],
    metadata: Mapping[str, Any],
    archived: bool,
    today: date,
) -> BaseModelVersion:
    """Read a model's tags and, where those are silent, its system metadata."""
    computes = metadata.get("supportedComputes") or {}
    retirement = tags.get("FinetuneRetirementDate") or (metadata.get("deprecation") or {}).get(
        "finetuneRetirementDate"
    )
    return BaseModelVersion(
        id=id,
        name=name,
        version=version,
        description=description,
        finetune_sizes=_sizes(tags.get("finetune_compute_allow_list"), computes.get("finetuneComputes")),
        inference_sizes=_sizes(tags.get("inference_compute_allow_list"), computes.get("inferenceComputes")),
        defaults=_defaults(name, tags.get("model_specific_defaults")),
        warnings=tuple(_warnings(name, version, archived, retirement, today, tags.get(_STAND_IN))),
    )


def allows(sizes: tuple[str, ...] | None, size: str) -> bool:
    """Whether an allow-list permits a size, whatever the case of either; a missing list permits all."""
    return sizes is None or size.casefold() in (allowed.casefold() for allowed in sizes)


def _sizes(tag: str | None, metadata: list[str] | None) -> tuple[str, ...] | None:
    listed = literal(tag) if tag else metadata
    return tuple(str(size) for size in listed) if listed else None


def literal(text: str) -> Any:
    """A tag's value: registries write lists as Python does and dicts as JSON, and both are read here.

    Returns None for what is neither, as tags are free text.
    """
    # JSON's three words are no Python literals; they occur in dicts only, outside of quotes.
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    import json

    try:
        return json.loads(text)
    except ValueError:
        return None


def _defaults(name: str, tag: str | None) -> dict[str, Any]:
    if not tag:
        return {}
    defaults = literal(tag)
    if not isinstance(defaults, dict):
        logger().warning("The model_specific_defaults of %s cannot be read and are ignored", name)
        return {}
    return {str(key): value for key, value in defaults.items()}


def _warnings(
    name: str, version: str, archived: bool, retirement: str | None, today: date, stand_in: str | None
) -> list[str]:
    warnings = []
    if stand_in:
        warnings.append(
            f"The weights are not those of {name}: {stand_in} stands in for it in this workspace."
        )
    if archived:
        warnings.append(f"{name} version {version} is archived: it still trains, but gets no more fixes.")
    if retirement:
        try:
            retired = date.fromisoformat(retirement[:10])
        except ValueError:
            return warnings
        if retired <= today:
            warnings.append(
                f"Fine-tuning of {name} was retired on {retired}: Azure may refuse the job or its deployment."
            )
    return warnings

"""The base model: which version of which registry model is fine-tuned, and what it asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, private
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.model_files import find_window
from tasks.data.window import Window
from tasks.sections.base import Base as Base

# A workspace that has not a model's own weights says so with this tag, naming whose it has.
_STAND_IN = "local_stand_in"


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
    retired: tuple[str, ...] = ()  # why Azure may refuse to train or serve it, a sentence each
    window: Window = Window()


@stage(Stage.BASE_MODEL)
def find_model(session: Session, base: Base) -> BaseModelVersion:
    """Look the model up by version, or its newest by label.

    Raises Failure for one that is missing, and for one that is archived or retired unless that is allowed.
    """
    models = clients.assets(session, base.registry).models
    try:
        model = (
            models.get(base.name, version=base.version)
            if base.version
            else models.get(base.name, label="latest")
        )
    except Exception as error:
        if is_missing(error):
            raise _not_found(models, base, str(error)) from error
        raise
    properties = private.model_properties(models, model.name, model.version)
    entry = Entry(
        id=model.id,
        name=model.name,
        version=str(model.version),
        description=model.description or "",
        tags=model.tags or {},
        metadata=properties.get("systemMetadata") or {},
        archived=bool(properties.get("isArchived")),
    )
    found = describe(entry, datetime.now(UTC).date())
    logger().info("Base model %s, version %s", found.name, found.version)
    if found.retired and not base.allow_retired:
        raise Failure(
            " ".join(found.retired),
            "Choose a model that is not, or set base.allow_retired to use it all the same.",
            cause=Cause.MODEL,
        )
    for warning in found.warnings:
        logger().warning(warning)
    return found.model_copy(update={"window": find_window(models, model)})


class Entry(NamedTuple):
    """A version as the registry has it; `metadata` is its system metadata."""

    id: str
    name: str
    version: str
    description: str
    tags: Mapping[str, str]
    metadata: Mapping[str, Any]
    archived: bool


def describe(entry: Entry, today: date) -> BaseModelVersion:
    """Read a model's tags and, where those are silent, its system metadata."""
    name, tags, metadata = entry.name, entry.tags, entry.metadata
    computes = metadata.get("supportedComputes") or {}
    retired = tuple(_retired(entry, today))
    return BaseModelVersion(
        id=entry.id,
        name=name,
        version=entry.version,
        description=entry.description,
        finetune_sizes=_sizes(tags.get("finetune_compute_allow_list"), computes.get("finetuneComputes")),
        inference_sizes=_sizes(tags.get("inference_compute_allow_list"), computes.get("inferenceComputes")),
        defaults=_defaults(name, tags.get("model_specific_defaults")),
        warnings=(*_stand_in(name, tags.get(_STAND_IN)), *retired),
        retired=retired,
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


def _stand_in(name: str, stand_in: str | None) -> list[str]:
    if not stand_in:
        return []
    return [f"The weights are not those of {name}: {stand_in} stands in for it in this workspace."]


def _retired(entry: Entry, today: date) -> Iterator[str]:
    if entry.archived:
        yield f"{entry.name} version {entry.version} is archived in its registry."
    deprecation = entry.metadata.get("deprecation") or {}
    retirement = entry.tags.get("FinetuneRetirementDate") or deprecation.get("finetuneRetirementDate")
    try:
        retired = date.fromisoformat((retirement or "")[:10])
    except ValueError:
        return
    if retired <= today:
        name = entry.name
        yield f"Fine-tuning of {name} was retired on {retired}: Azure may refuse the job or its deployment."


def _not_found(models: Any, base: Base, details: str) -> Failure:
    """What there is instead: a label finds no archived model, as lists do not show those by default."""
    every = unless_missing(lambda: private.registry_versions(models, base.name)) or []
    versions = sorted(every, key=lambda version: (len(version), version))
    if not versions:
        return Failure(
            f"The registry {base.registry!r} has no model {base.name!r}.",
            "Look up its name in the studio's model catalogue.",
            details,
            cause=Cause.NOT_FOUND,
        )
    there = ", ".join(versions)
    if base.version:
        return Failure(
            f"The registry {base.registry!r} has no version {base.version} of {base.name!r}.",
            f"It has: {there}.",
            details,
            cause=Cause.NOT_FOUND,
        )
    return Failure(
        f"{base.name!r} is archived in the registry {base.registry!r}; its versions: {there}.",
        f"Choose another model, or set base.version to {versions[-1]} and base.allow_retired to use it.",
        details,
        cause=Cause.MODEL,
    )

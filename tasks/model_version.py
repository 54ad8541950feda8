"""A version of a registry model as its tags and system metadata describe it: where it may run, and how."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from tasks.azure.failure import Cause, Failure
from tasks.azure.sizes import Size, check_serves
from tasks.core.log import logger
from tasks.data.window import Window
from tasks.sections.base import Base

# A model's id, of a registry or of a workspace.
REGISTERED = re.compile(r"(?:/registries/([^/]+))?/models/([^/]+)/versions/([^/]+)$", re.IGNORECASE)
# A workspace that has not a model's own weights says so with this tag, naming whose it has.
STAND_IN = "local_stand_in"
# One that cannot train a model says why with this.
UNTRAINABLE = "local_untrainable"
# K80 machines, whose GPUs lack what the training stack needs; the rule where a model has no allow-list.
_UNSUITED = frozenset({"standard_nc6", "standard_nc12", "standard_nc24", "standard_nc24r"})


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
    untrainable: str = ""  # why this workspace cannot train it
    window: Window = Window()


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
        warnings=(*_stand_in(name, tags.get(STAND_IN)), *retired),
        retired=retired,
        untrainable=tags.get(UNTRAINABLE, ""),
    )


def allows(sizes: tuple[str, ...] | None, size: str) -> bool:
    """Whether an allow-list permits a size, whatever the case of either; a missing list permits all."""
    return sizes is None or size.casefold() in (allowed.casefold() for allowed in sizes)


def check_offered(base: Base, found: BaseModelVersion) -> None:
    """Refuse a version that cannot be trained; one archived or retired, unless the recipe allows it."""
    if found.untrainable:
        raise Failure(
            f"{found.name} cannot be fine-tuned in this workspace: {found.untrainable}",
            "Choose another base.name.",
            cause=Cause.MODEL,
        )
    if found.retired and not base.allow_retired:
        raise Failure(
            " ".join(found.retired),
            "Choose a model that is not, or set base.allow_retired to use it all the same.",
            cause=Cause.MODEL,
        )


def check_training_size(size: Size, base: BaseModelVersion) -> None:
    """Refuse a size that the model cannot be fine-tuned on; its own allow-list decides where it has one."""
    allowed = base.finetune_sizes
    if allowed is not None:
        if not allows(allowed, size.name):
            raise Failure(
                f"{base.name} cannot be fine-tuned on {size.name}.",
                f"Its allow-list: {', '.join(allowed)}.",
                cause=Cause.COMPUTE,
            )
        return
    if size.name.casefold() in _UNSUITED:
        raise Failure(
            f"{size.name} has K80 GPUs, which cannot fine-tune {base.name}.",
            "Choose a cluster with V100, A100 or newer GPUs.",
            cause=Cause.COMPUTE,
        )
    if size.gpus < 1:
        raise Failure(
            f"{size.name} has no GPU, and {base.name} does not say that it can be fine-tuned without.",
            "Set compute.name or compute.size to a cluster with GPUs.",
            cause=Cause.COMPUTE,
        )


def check_serving_size(size: Size, base: BaseModelVersion) -> None:
    """Refuse a size that cannot serve the model, or no managed endpoint at all."""
    if not allows(base.inference_sizes, size.name):
        raise Failure(
            f"{base.name} cannot be deployed on {size.name}.",
            f"Set deploy.instance_type to one of its allow-list: {', '.join(base.inference_sizes or ())}.",
            cause=Cause.COMPUTE,
        )
    check_serves(size, "Set deploy.instance_type to a size that can.")


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

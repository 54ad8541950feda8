"""The base model: which version of which registry model is fine-tuned, and what it asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tasks.azure import clients, private
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import PREFIX, is_held_by
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.model_files import find_window
from tasks.model_version import REGISTERED, Entry, check_offered, describe
from tasks.model_version import BaseModelVersion as BaseModelVersion
from tasks.sections.base import Base as Base

# The tag in which registration keeps what a model was made from.
BASE_MODEL = f"{PREFIX}base-model"


@stage(Stage.BASE_MODEL)
def find_model(session: Session, base: Base) -> BaseModelVersion:
    """Look the model up by version, or its newest by label.

    Raises Failure for one that is missing, and for one that is archived or retired unless that is allowed.
    """
    if base.from_run is not None:
        return _made_by(session, base)
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
    return _described(models, model, base)


def versions(models: Any, base: Base) -> list[str]:
    """Every version of the model that there is, archived ones included where a registry has it."""
    if base.registry:
        return private.registry_versions(models, base.name)
    return [str(each.version) for each in models.list(name=base.name, list_view_type="All")]


def _described(models: Any, model: Any, base: Base) -> BaseModelVersion:
    """What is known of the model, which may not be refused by then."""
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
    check_offered(base, found)
    for warning in found.warnings:
        logger().warning(warning)
    return found.model_copy(update={"window": find_window(models, model)})


def _made_by(session: Session, base: Base) -> BaseModelVersion:
    """The model that a flow run has registered, with the sizes and defaults of the one that it began from."""
    models = clients.workspace(session).models
    names = sorted({each.name for each in models.list()}, key=lambda name: not name.startswith(base.name))
    made = (
        each for name in names for each in models.list(name=name) if is_held_by(each.tags, str(base.from_run))
    )
    model = next(made, None)
    if model is None:
        raise Failure(
            f"Flow run {base.from_run} has registered no model in {session.workspace}.",
            "Set base.from_run to the id of a run that has, as `finetune history` lists them.",
            cause=Cause.NOT_FOUND,
        )
    own = _described(models, model, base)
    began = REGISTERED.search(str((model.tags or {}).get(BASE_MODEL, "")))
    if began is None:
        return own
    origin = Base(name=began[2], version=began[3], registry=began[1], allow_retired=True)
    first = find_model.fn(session, origin)
    kept = ("finetune_sizes", "inference_sizes", "defaults")
    return own.model_copy(update={name: getattr(first, name) for name in kept})


def _not_found(models: Any, base: Base, details: str) -> Failure:
    """What there is instead: a label finds no archived model, as lists do not show those by default."""
    every = unless_missing(lambda: versions(models, base)) or []
    ordered = sorted(every, key=lambda version: (len(version), version))
    owner = f"registry {base.registry!r}" if base.registry else "workspace"
    if not ordered:
        return Failure(
            f"The {owner} has no model {base.name!r}.",
            "Look up its name in the studio's model catalogue."
            if base.registry
            else "`az ml model list` lists the workspace's own; base.registry names a registry.",
            details,
            cause=Cause.NOT_FOUND,
        )
    there = ", ".join(ordered)
    if base.version:
        return Failure(
            f"The {owner} has no version {base.version} of {base.name!r}.",
            f"It has: {there}.",
            details,
            cause=Cause.NOT_FOUND,
        )
    return Failure(
        f"{base.name!r} is archived in the {owner}; its versions: {there}.",
        f"Choose another model, or set base.version to {ordered[-1]} and base.allow_retired to use it.",
        details,
        cause=Cause.MODEL,
    )

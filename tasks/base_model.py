"""The base model: which version of which registry model is fine-tuned, and what it asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tasks.azure import clients, private
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.model_files import find_window
from tasks.model_version import BaseModelVersion as BaseModelVersion
from tasks.model_version import Entry, check_offered, describe
from tasks.sections.base import Base as Base


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
    check_offered(base, found)
    for warning in found.warnings:
        logger().warning(warning)
    return found.model_copy(update={"window": find_window(models, model)})


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

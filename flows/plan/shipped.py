"""Facts that are shipped: models, component, sizes and prices, as the local workspace's registry has them.

They are Azure's as of the day of the release; whoever needs today's asks the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from flows.plan.facts import ComponentVersion, Facts
from flows.run.config import Finetune
from tasks.azure.failure import Cause, Failure
from tasks.azure.sizes import Size
from tasks.data.expected import expect_offline
from tasks.job.parameters import inputs_of
from tasks.model_version import STAND_IN, BaseModelVersion, Entry, describe
from tasks.sections.base import Base
from tasks.sections.pipeline import Pipeline

_ASK = "Leave --offline out, so that the workspace is asked."


def facts(config: Finetune) -> Facts:
    """What is known of the recipe without a network; raises Failure for what is not in the catalogue."""
    try:
        from azureml_local.catalogue import models
    except ImportError as error:
        raise Failure(
            "The shipped catalogue comes with the local workspace, which is not installed.",
            f"Install it: uv sync --extra local. Or: {_ASK}",
            cause=Cause.CONFIGURATION,
        ) from error
    entry = _entry(config.base, models())
    return Facts(
        base=entry,
        component=_component(config.pipeline),
        training=_size(config.compute.size),
        serving=_size(config.deploy.instance_type),
        tier=config.compute.tier,
        data=expect_offline(config.data),
        offline=True,
        weights=_weights(config.base.name),
    )


def _entry(base: Base, every: Any) -> BaseModelVersion:
    if base.from_run is not None or base.registry is None:
        raise Failure(
            "Only the workspace knows its own models, and what an earlier run has made.",
            _ASK,
            cause=Cause.CONFIGURATION,
        )
    named = [model for model in every if model.name == base.name]
    wanted = [model for model in named if base.version in (None, model.version)]
    if not wanted:
        there = ", ".join(f"{model.name} {model.version}" for model in every)
        raise Failure(
            f"The shipped catalogue has no model {base.name!r}{f' {base.version}' if base.version else ''}.",
            f"It has: {there}. {_ASK}",
            cause=Cause.NOT_FOUND,
        )
    found = wanted[-1]
    properties: Mapping[str, Any] = found.properties
    # Whose weights a workspace on this machine has is no matter of the catalogue's.
    tags = {name: value for name, value in properties["tags"].items() if name != STAND_IN}
    entry = Entry(
        id=properties["modelUri"],
        name=found.name,
        version=found.version,
        description=properties["description"],
        tags=tags,
        metadata=properties["systemMetadata"],
        archived=properties["isArchived"],
    )
    return describe(entry, datetime.now(UTC).date())


def _component(pipeline: Pipeline) -> ComponentVersion:
    from azureml_local.components.definitions import PIPELINE, PIPELINE_VERSION, definitions

    every = {each.name: each for each in definitions()}
    found = every.get(pipeline.component)
    if found is None or pipeline.version not in (None, found.version):
        version = f" {pipeline.version}" if pipeline.version else ""
        raise Failure(
            f"The shipped catalogue has no component {pipeline.component!r}{version}.",
            f"It has: {PIPELINE} {PIPELINE_VERSION}. {_ASK}",
            cause=Cause.NOT_FOUND,
        )
    inputs = {
        name: SimpleNamespace(type=port["type"], enum=port.get("enum"), min=port.get("min"))
        for name, port in found.properties["componentSpec"]["inputs"].items()
    }
    return ComponentVersion(
        id=f"azureml://registries/azureml/components/{found.name}/versions/{found.version}",
        name=found.name,
        version=found.version,
        inputs=inputs_of(SimpleNamespace(inputs=inputs)),
    )


def _size(name: str) -> Size:
    from azureml_local.state import sizes

    found = sizes.find(name)
    if found is None:
        gpu = ", ".join(size.name for size in sizes.SIZES if size.gpus)
        raise Failure(
            f"The shipped catalogue has no VM size {name!r}.",
            f"Sizes with GPUs there: {gpu}. {_ASK}",
            cause=Cause.COMPUTE,
        )
    return Size(
        name=found.name,
        family=found.family,
        vcpus=found.vcpus,
        gpus=found.gpus,
        memory=found.memory,
        price=found.price,
        low_priority_price=found.low_priority_price if found.low_priority else None,
        compute_types=found.compute_types,
    )


def _weights(name: str) -> int | None:
    from azureml_local.catalogue.models import PARAMETERS

    return PARAMETERS.get(name)

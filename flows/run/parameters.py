"""A run's parameters as its configuration: the recipe, what the deployment sets over it, then its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from pydantic import BaseModel

from flows.run import signature
from flows.run.config import Finetune, load, names, parse
from flows.run.signature import RECIPE, SETTINGS
from flows.run.values import section

TRIES, CHANGES = "tries", "changes"  # parameters of a sweep
_OF_0_2 = "config"  # the one parameter that runs had up to version 0.2, a whole configuration
# What says how one dataset is read, and means nothing for another.
_OF_THE_DATASET = ("revision", "subset", "format", "columns", "roles")
_SPLITS = ("train", "validation", "test")

Document = dict[str, Any]


def of(config: Finetune) -> dict[str, Any]:
    """A whole configuration as parameters, each field in its place in the form."""
    whole = config.model_dump(mode="json")
    settings = {name: _taken(whole, path) for name, path in signature.settings().items()}
    return {
        RECIPE: config.recipe,
        SETTINGS: settings,
        **{name: whole[name] for name in signature.sections()},
    }


def completed(given: Mapping[str, Any]) -> Finetune:
    """The configuration of the run of this process, which is put into its record whole.

    Others read it there later, when the recipe may have changed. Raises Failure naming what is wrong with it.
    """
    config = config_in(given, UUID(deployment.id) if deployment.id else None)
    whole = of(config)
    if whole != given:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(this_run.id), parameters=whole)
    return config


def config_of(run: FlowRun) -> Finetune:
    """The configuration of any run, as `completed` gives the run itself."""
    return config_in(run.parameters, run.deployment_id)


def config_in(given: Mapping[str, Any], deployment: UUID | None = None) -> Finetune:
    """The configuration of these parameters; raises Failure naming what is wrong with it."""
    if isinstance(whole := given.get(RECIPE), Finetune):
        return whole
    if TRIES in given:  # a group's, before what its runs differ in
        return load(str(given.get(RECIPE) or signature.DEFAULT_RECIPE), given.get(CHANGES) or ())
    body = document(given, _own(deployment) if deployment is not None else {})
    return parse(body, str(body.get(RECIPE) or signature.DEFAULT_RECIPE))


def document(given: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> Document:
    """The parameters as a recipe is written, unchecked: over those of their deployment, over the recipe's.

    Prefect puts a run's parameters in the place of its deployment's, each as a whole: `{"wait":
    {"poll_seconds": 5}}` would be a run without the deployment's time-out.
    """
    given, own = _today(given), _today(own or {})
    name = given.get(RECIPE) or own.get(RECIPE) or signature.DEFAULT_RECIPE
    if isinstance(name, Mapping):  # of a run in Python, by a whole configuration, that has only just begun
        return {**name}
    if not isinstance(name, str):
        return {RECIPE: "custom"}
    body: Document = {**(signature.recipe_document(name) if name in names() else {}), RECIPE: name}
    # None is what a section is that nobody has opened; one that the deployment has was closed on purpose.
    kept = {part: value for part, value in own.items() if given.get(part, value) is not None}
    differs = {part: value for part, value in given.items() if value != own.get(part)}
    for layer in (kept, differs):
        body = _over(body, _layer(layer), Finetune)
    return body


def _today(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters, also of a run that an earlier version has begun."""
    whole = parameters.get(_OF_0_2)
    return {RECIPE: "custom", **whole} if isinstance(whole, Mapping) else parameters


def _own(deployment: UUID) -> Mapping[str, Any]:
    """The deployment's own parameters; none where it is gone."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_deployment(deployment).parameters
    except ObjectNotFound:
        return {}


def _layer(parameters: Mapping[str, Any]) -> Document:
    """Parameters as a recipe is written, with each of the settings in its section."""
    layer: Document = {
        name: value
        for name, value in parameters.items()
        if name not in (RECIPE, SETTINGS) and value is not None
    }
    given = parameters.get(SETTINGS) or {}
    if not isinstance(given, Mapping):
        return {**layer, SETTINGS: given}  # refused by its name
    for name, path in signature.settings().items():
        if name in given:
            _put(layer, path, given[name])
    layer |= {name: given[name] for name in given.keys() - signature.settings().keys()}
    return layer


def _put(body: Document, path: tuple[str, ...], value: Any) -> None:
    *above, field = path
    for step in above:
        inner = body.get(step) or {}
        if not isinstance(inner, Mapping):  # refused as what it is
            return
        body[step] = {**inner}
        body = body[step]
    body[field] = value


def _taken(body: Document, path: tuple[str, ...]) -> Any:
    *above, field = path
    for step in above:
        body = body[step]
    return body.pop(field)


def _over(below: Mapping[str, Any], above: Mapping[str, Any], model: type[BaseModel]) -> Document:
    """The one document over the other, section by section; what is no section is replaced as a whole."""
    merged = dict(below)
    for name, value in above.items():
        inner = section(model.model_fields[name].annotation) if name in model.model_fields else None
        under = below.get(name)
        if inner is None or not isinstance(value, Mapping):
            merged[name] = value
            continue
        under = under if isinstance(under, Mapping) else {}
        if name == "data":
            under = _of_any_dataset(under, value)
        merged[name] = _over(under, value, inner)
    return merged


def _of_any_dataset(under: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section without what belongs to its own dataset, where another one is put over it."""
    if "dataset" not in under or above.get("dataset", under["dataset"]) == under["dataset"]:
        return under
    kept = {name: value for name, value in under.items() if name not in _OF_THE_DATASET}
    for split in _SPLITS:
        if isinstance(kept.get(split), Mapping):
            kept[split] = {name: value for name, value in kept[split].items() if name != "name"}
    return kept

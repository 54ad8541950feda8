"""The flow's parameters, made from the configuration's model: Prefect's form, and rows on a run's page.

First the recipe; then `settings`, the few fields that people change; then the sections with all the others,
each closed until somebody opens it. What is left empty is as in the recipe, so that no field has a default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from flows.run.config import Finetune, document, find, load, names
from flows.run.values import section
from tasks.azure.failure import Failure

RECIPE = "recipe"
SETTINGS = "settings"
DEFAULT_RECIPE = "local"
AS_IN_THE_RECIPE = "As in the recipe"
# What people change most, by its place in the configuration; the form has each of them here and nowhere else.
OFTEN: Mapping[str, tuple[str, ...]] = {
    "dataset": ("data", "dataset"),
    "share": ("data", "train", "take"),
    "epochs": ("parameters", "training", "num_train_epochs"),
    "learning_rate": ("parameters", "training", "learning_rate"),
    "budget_usd": ("wait", "budget_usd"),
    "keep_endpoint": ("deploy", "keep_endpoint"),
}
_TITLES = {"share": "Share of the training data"}

Json = dict[str, Any]
Result = TypeVar("Result")


def taking_the_configuration(function: Callable[..., Result]) -> Callable[[str | Finetune], Result]:
    """Give a function the signature by which Prefect makes the form and binds a run's parameters."""
    parameters = [
        _parameter(RECIPE, Recipe(), DEFAULT_RECIPE),
        _parameter(SETTINGS, _Settings(), {}),
        *(_parameter(name, _Section(name), None) for name in sections()),
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


@cache
def sections() -> Mapping[str, type[BaseModel]]:
    """The sections of the configuration, each of which is a parameter."""
    found = {name: section(field.annotation) for name, field in Finetune.model_fields.items()}
    return {name: model for name, model in found.items() if model is not None}


@cache
def settings() -> Mapping[str, tuple[str, ...]]:
    """The fields of `settings` by their place: those changed often, and those of no section."""
    single = [name for name in Finetune.model_fields if name not in sections() and name != RECIPE]
    return {**OFTEN, **{name: (name,) for name in single}}


def _parameter(name: str, form: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[Any, form]
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


class _Form:
    """Takes any value: it is checked once it has been put over the recipe. The form is stricter."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()


@dataclass(frozen=True)
class Shown:
    """What the form says of a parameter: Prefect leaves out what a pydantic Field says of it.

    One that may be `left_out` is of its other type alone: the form asks for the type of what may be null.
    """

    description: str
    left_out: bool = False

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        found = {**handler(schema), "description": self.description}
        if self.left_out:
            (kind,) = (kind for kind in found.pop("anyOf") if kind.get("type") != "null")
            found |= kind
        return found


class Recipe(_Form):
    """One of the recipes there are."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        return {
            "type": "string",
            "enum": names(),
            "description": "What everything below goes by where it is left empty.",
        }


class _Settings(_Form):
    """The fields that people change, with what the recipes have there."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        given = Finetune.model_json_schema()
        whole = _open(given, lambda reference: given["$defs"][reference.rsplit("/", 1)[-1]])
        recipes = dict(_recipes())
        return {
            "type": "object",
            "description": "What people change most. What is left empty is as in the recipe.",
            "properties": {
                name: _setting(whole, name, ", ".join(_in_recipes(recipes, path)), path)
                for name, path in settings().items()
            },
            "additionalProperties": False,
        }


def _setting(whole: Json, name: str, has: str, path: tuple[str, ...]) -> Json:
    found = whole
    for step in path:
        found = found["properties"][step]
    said = found.get("description", "")
    if has:
        said += f" In the recipes: {has}."
    return {**found, "title": _TITLES.get(name, found.get("title")), "description": said}


def _recipes() -> Iterator[tuple[str, Finetune]]:
    """The recipes by name; one that is wrong is refused where it is used."""
    for name in names():
        with suppress(Failure):
            yield name, load(name)


def _in_recipes(recipes: Mapping[str, Finetune], path: tuple[str, ...]) -> Iterator[str]:
    """What each recipe has there."""
    for name, recipe in recipes.items():
        value: Any = recipe
        for step in path:
            value = getattr(value, step)
        if value:
            yield f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


@cache
def recipe_document(name: str) -> Json:
    """A shipped recipe as it stands."""
    return document(find(name))


@dataclass(frozen=True)
class _Section(_Form):
    """A section as an object that is left out, or opened and filled in as far as it shall differ."""

    name: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        reference = handler(_as_definition(sections()[self.name]))
        # Changed where it stands: only in definitions does Prefect's server take None for an empty field.
        found = handler.resolve_ref_schema(reference)
        form = _open(found, lambda reference: handler.resolve_ref_schema({"$ref": reference}))
        for path in settings().values():
            if path[0] == self.name and len(path) > 1:
                _remove(form, path[1:])
        found.clear()
        found.update(form)
        return {
            "anyOf": [{"type": "null", "title": AS_IN_THE_RECIPE}, reference],
            "description": form.get("description", ""),
        }


def _as_definition(model: type[BaseModel]) -> CoreSchema:
    """The model's schema, to which another one can refer."""
    schema: Any = model.__pydantic_core_schema__
    if schema["type"] == "definitions":  # as it is already, for a part that it has twice
        return schema  # type: ignore[no-any-return]
    named = {**schema, "ref": f"{model.__module__}.{model.__qualname__}:1"}
    return core_schema.definitions_schema(core_schema.definition_reference_schema(named["ref"]), [named])


def _remove(form: Json, path: tuple[str, ...]) -> None:
    *above, field = path
    for step in above:
        form = form["properties"][step]
    del form["properties"][field]


def _open(schema: Mapping[str, Any], resolve: Callable[[str], Json]) -> Json:
    """A schema in one piece but for Prefect's blocks, whose fields may all be left out.

    What may be empty is of its other type alone: Prefect's form asks for the type of each field that has two.
    """
    found = {name: value for name, value in schema.items() if name != "default"}
    if (reference := found.pop("$ref", None)) is not None:
        target = resolve(reference)
        return {"$ref": reference} if "block_type_slug" in target else _open({**target, **found}, resolve)
    kinds = [_open(kind, resolve) for kind in found.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1 and "$ref" not in kinds[0]:
        nullable = len(found.pop("anyOf")) > 1
        found = {**kinds[0], **found}
        if nullable and "enum" in found:
            found["enum"] = [*found["enum"], None]
    if "properties" in found:
        found["properties"] = {name: _open(field, resolve) for name, field in found["properties"].items()}
    return found

"""Writes docs/recipes.md: every field of a recipe, from the model that recipes are checked against.

uv run python -m docs.recipes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flows.run.config import Finetune, names

PAGE = Path(__file__).with_suffix(".md")

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "pattern": "matches `{}`",
}

_INTRODUCTION = """\
# Recipes: every field

<!-- Made by `uv run python -m docs.recipes` from the model in flows/run/config.py: change it there. -->

A recipe is a YAML file, and the whole configuration of a run. The same model makes the flow's parameters with
the form that Prefect shows for a deployment ([operations.md](operations.md#the-form)), and is what `--set`
changes on the command line. A field that is left
out has its default; a field that does not exist is an error that names it. The project ships {recipes} in
[flows/recipes/](../flows/recipes); any other YAML file is given by its path.

```yaml
# my-recipe.yaml
workspace: {{where: azure}}
base: {{name: Phi-4, version: "8"}}
compute: {{name: my-cluster, size: Standard_NC24ads_A100_v4}}
data:
  dataset: ./conversations/*.jsonl
  train: {{name: train, take: 100%}}
  test: {{name: test, take: 500}}
parameters:
  training: {{num_train_epochs: 1, learning_rate: 1.0e-5}}
wait: {{timeout_hours: 8, budget_usd: 40}}
```

[data.md](data.md) says what data may look like. `--set` names a field by its path. Its value is read as
YAML, and checked like the file's:

<!-- command: set -->
```sh
uv run finetune run local --set data.train.take=10% --set deploy.keep_endpoint=4h --set wait.budget_usd=5
```
"""


class Row(NamedTuple):
    """One field as the page shows it."""

    field: str
    type: str
    default: str
    bounds: str
    description: str


def page() -> str:
    """The whole page as Markdown."""
    schema = Finetune.model_json_schema()
    shipped = " and ".join(f"`{name}`" for name in names())
    parts = [_INTRODUCTION.format(recipes=shipped)]
    for path, section, given in sections(schema):
        title = f"`{path}`" if path else "At the top"
        said = section.get("description", "")
        if without := _without(section, given):
            said += f" Without this section: {without}."
        parts.append(f"## {title}\n\n{said}\n\n{_table(rows(section, schema))}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def sections(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Every object with fields of its own: its path in the recipe, itself, and its value when left out."""
    waiting: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [("", schema, {})]
    while waiting:
        path, found, given = waiting.pop(0)
        yield path, found, given
        inner = [
            (f"{path}.{name}".lstrip("."), target, field.get("default") or {})
            for name, field in found["properties"].items()
            if (target := _section(field, schema)) is not None
        ]
        waiting = [*inner, *waiting]


def rows(section: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Row]:
    """The fields of one section, without those that are sections themselves."""
    required = section.get("required", ())
    for name, field in section["properties"].items():
        if _section(field, schema) is None:
            default = "required" if name in required else _default(field.get("default"))
            kind = _type(field, schema["$defs"])
            yield Row(f"`{name}`", kind, default, _bounds(field), field.get("description", ""))


def _section(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object with fields that the field holds; None for a value, and for one of Prefect's blocks."""
    if "$ref" not in field:
        return None
    target: Mapping[str, Any] = schema["$defs"][field["$ref"].rsplit("/", 1)[-1]]
    return target if "properties" in target and "block_type_slug" not in target else None


def _without(section: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The values of a section that is left out, where they are not those of its fields."""
    own = {name: field.get("default") for name, field in section["properties"].items() if "$ref" not in field}
    other = [name for name in own if given.get(name) and given[name] != own[name]]
    return ", ".join(f"`{name}` {_default(given[name])}" for name in other)


def _type(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """In words: what a value of it is, or the values to choose from."""
    if "$ref" in field:
        field = definitions[field["$ref"].rsplit("/", 1)[-1]]
    if choices := field.get("anyOf"):
        kinds = (_type(each, definitions) for each in choices if each.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if "block_type_slug" in field:
        return "a block of Prefect's"
    if field.get("format") == "path":
        return "path"
    if field["type"] == "array":
        return f"list of {_type(field['items'], definitions)}s"
    if field["type"] == "object":
        return "mapping"
    return _TYPES[field["type"]]


def _default(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != {} else "empty"


def _bounds(field: Mapping[str, Any]) -> str:
    found = [text.format(field[name]) for name, text in _LIMITS.items() if name in field]
    if field.get("minLength"):
        found.append("not blank")
    for choice in field.get("anyOf", ()):
        found += filter(None, [_bounds(choice)])
    if names_ := field.get("propertyNames", {}).get("enum"):
        found.append("of " + ", ".join(f"`{name}`" for name in names_))
    return ", ".join(found)


def _table(found: Iterator[Row]) -> str:
    lines = [tuple(cell.replace("|", r"\|") for cell in row) for row in found]
    if not lines:
        return ""
    head = ("field", "type", "default", "bounds", "what it is")
    return "\n".join(
        [
            f"| {' | '.join(head)} |",
            "| --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(line)} |" for line in lines),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)

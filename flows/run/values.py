"""Values as they are meant: what is written where a text is wanted is a text, whatever YAML takes it for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

_OTHERS = (bool, int, float, date)  # what YAML makes of 15, no and 2024-05-01; a time is a date as well


def read(text: str, kind: Any) -> Any:
    """YAML as values of a kind; raises yaml.YAMLError."""
    return _meant(yaml.safe_load(text), yaml.load(text, yaml.BaseLoader), kind)


def kind_of(model: type[BaseModel], path: list[str]) -> Any:
    """The type of a field, by the names of the sections on the way to it; Any where there is none."""
    kind: Any = model
    for name in path:
        kind = _inner(kind, name)
    return kind


def section(kind: Any) -> type[BaseModel] | None:
    """The model that a field of this type holds; None for a value."""
    models = [one for one in _alternatives(kind) if isinstance(one, type) and issubclass(one, BaseModel)]
    return models[0] if models else None


def fields(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The paths of all fields that hold values, section by section."""
    for name, field in model.model_fields.items():
        if (inner := section(field.annotation)) is None:
            yield f"{above}{name}"
        else:
            yield from fields(inner, f"{above}{name}.")


def _meant(value: Any, written: Any, kind: Any) -> Any:
    """The value, with what was `written` in every place that takes texts and nothing else of the sort."""
    if isinstance(value, dict):
        texts = written if isinstance(written, Mapping) and len(written) == len(value) else value
        return {
            str(name): _meant(inner, text, _inner(kind, str(name)))
            for inner, (name, text) in zip(value.values(), texts.items(), strict=True)
        }
    if isinstance(value, list) and isinstance(written, list):
        return [_meant(inner, text, _inner(kind, "")) for inner, text in zip(value, written, strict=True)]
    if isinstance(value, _OTHERS) and isinstance(written, str) and _takes_only_text(kind):
        return written
    return value


def _inner(kind: Any, name: str) -> Any:
    """The type of a model's field, or of what a list or a dictionary holds."""
    for one in _alternatives(kind):
        if isinstance(one, type) and issubclass(one, BaseModel) and name in one.model_fields:
            return one.model_fields[name].annotation
        if get_origin(one) in (dict, list, tuple):
            return get_args(one)[-1]
    return Any


def _takes_only_text(kind: Any) -> bool:
    kinds = [one for one in _alternatives(kind) if one is not type(None)]
    return bool(kinds) and all(_is_text(one) for one in kinds)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, str | Path)


def _alternatives(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [each for one in get_args(kind) for each in _alternatives(one)]
    return [kind]

"""What a document of a kind cannot be without: the required fields of its TypedDict, at every depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

_WORDS: dict[Any, str] = {dict: "object", list: "list"}


@dataclass(frozen=True)
class _Shape:
    """What a field's value must be: a container, None too where it may be; `inner` is its values' form."""

    container: Any
    inner: Any = None
    is_itself: bool = False  # the value is an object of the form `inner`, not a container of such
    nullable: bool = False


@dataclass(frozen=True)
class _Form:
    required: tuple[str, ...]
    names: frozenset[str]  # the same
    shapes: Mapping[str, _Shape]


def fault(form: Any, document: Mapping[str, Any], path: str = "") -> str | None:
    """What the document has to be rejected for, to follow its name in a sentence; None for a sound one."""
    known = _known(form)
    if not document.keys() >= known.names:
        missing = next(name for name in known.required if name not in document)
        return f"has no field '{path}{missing}'"
    for name, shape in known.shapes.items():
        value = document.get(name)
        if value is None and (shape.nullable or name not in known.names):
            continue
        if not isinstance(value, shape.container):
            return f"has no {_WORDS[shape.container]} in its field '{path}{name}'"
        if shape.inner is None:
            continue
        for place, inner in _inside(shape, value, f"{path}{name}"):
            if not isinstance(inner, dict):
                return f"has no object in its field '{place}'"
            if (found := fault(shape.inner, inner, f"{place}.")) is not None:
                return found
    return None


def _inside(shape: _Shape, value: Any, place: str) -> list[tuple[str, Any]]:
    """Each value that has the form `inner`, with its place in the document."""
    if shape.is_itself:
        return [(place, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [(f"{place}.{key}", each) for key, each in items]


@cache
def _known(form: Any) -> _Form:
    hints = get_type_hints(form, include_extras=True)
    required = [
        name
        for name, hint in hints.items()
        # Not __required_keys__, which takes no notice of annotations that are written as text.
        if get_origin(hint) is Required or (form.__total__ and get_origin(hint) is not NotRequired)
    ]
    shapes = {name: found for name, hint in hints.items() if (found := _shape(hint)) is not None}
    return _Form(tuple(required), frozenset(required), shapes)


def _shape(hint: Any) -> _Shape | None:
    """The shape that a type asks for; None for a type that is no container, or one of several."""
    if get_origin(hint) in (Required, NotRequired):
        return _shape(*get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        some = [each for each in get_args(hint) if each is not NoneType]
        found = _shape(some[0]) if len(some) == 1 else None
        return found and _Shape(found.container, found.inner, found.is_itself, nullable=True)
    if is_typeddict(hint):
        return _Shape(dict, hint, is_itself=True)
    container = get_origin(hint)
    if container not in _WORDS:
        return None
    inner = get_args(hint)[-1]
    return _Shape(container, inner if is_typeddict(inner) else None)

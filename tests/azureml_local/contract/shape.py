"""Where a document has another shape than a recorded one: keys and types, not values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any


def differences(
    recorded: Any, ours: Any, maps: Collection[str] = (), *, whole: bool = True, where: str = ""
) -> Iterator[str]:
    """What is missing, of another type, or, where the record is `whole`, too much.

    `maps` are the paths of objects whose keys people choose. A recorded null says nothing of a type.
    """
    if recorded is None:
        return
    if ours is None or _type(recorded) != _type(ours):
        yield f"{where or 'the document'} is {_type(ours)}, not {_type(recorded)}"
    elif isinstance(recorded, list):
        for item in ours if recorded else ():
            found = [
                list(differences(each, item, maps, whole=whole, where=f"{where}[]")) for each in recorded
            ]
            yield from min(found, key=len)  # the record that it is most like
    elif isinstance(recorded, dict) and where in maps:
        example = next(iter(recorded.values()), None)
        for value in ours.values():
            yield from differences(example, value, maps, whole=whole, where=f"{where}.*")
    elif isinstance(recorded, dict):
        yield from _keys(recorded, ours, maps, whole, where)


def _keys(
    recorded: dict[str, Any], ours: dict[str, Any], maps: Collection[str], whole: bool, where: str
) -> Iterator[str]:
    for key in recorded:
        path = f"{where}.{key}" if where else key
        if key in ours:
            yield from differences(recorded[key], ours[key], maps, whole=whole, where=path)
        else:
            yield f"{path} is missing"
    if whole:
        for key in ours.keys() - recorded.keys():
            yield f"{where}.{key}".lstrip(".") + " is not in the record"


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")

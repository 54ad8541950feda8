"""The shape of a JSON document: its keys, the kinds of its values, and words of a closed list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.recording import words

GAP = "{}"
_OR = " | "
_KINDS, _ITEMS = "|", "[]"  # no key of a document
_KEY = re.compile(r"[$@]?[A-Za-z_][A-Za-z0-9_.-]{0,59}")
# Kinds of text that say something about the service and nothing about anybody's things.
_TEXTS = (
    ("guid", re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)),
    ("moment", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")),
    ("duration", re.compile(r"P(T?\d+(\.\d+)?[DHMS])+|\d\d:\d\d:\d\d(\.\d+)?")),
    ("resource type", re.compile(r"Microsoft\.[A-Za-z]+(/[A-Za-z]+)+")),
    ("resource id", re.compile(r"/subscriptions/.*", re.I | re.S)),
    ("azureml address", re.compile(r"azureml:.*", re.I | re.S)),
    ("address", re.compile(r"https?://.*", re.I | re.S)),
    ("digits", re.compile(r"\d+(\.\d+)?")),
    ("empty text", re.compile(r"")),
)


@dataclass(frozen=True)
class Shape:
    """What a value may be: leaves by kind, an object's keys, a list's items."""

    kinds: frozenset[str] = frozenset()
    keys: Mapping[str, Shape] | None = None
    items: Shape | None = None

    def document(self) -> Any:
        """As JSON: text for a leaf, an object for an object, a list for a list."""
        kinds = _OR.join(sorted(self.kinds))
        if self.keys is None and self.items is None:
            return kinds
        if self.keys is None and self.items is not None and not kinds:
            return [] if self.items == Shape() else [self.items.document()]
        return {
            **({_KINDS: kinds} if kinds else {}),
            **({_ITEMS: self.items.document()} if self.items is not None else {}),
            **{key: shape.document() for key, shape in sorted((self.keys or {}).items())},
        }

    @classmethod
    def read(cls, document: Any) -> Shape:
        """The shape that a JSON form stands for; raises ValueError for what is none."""
        if isinstance(document, str):
            return cls(frozenset(filter(None, document.split(_OR))))
        if isinstance(document, list) and len(document) <= 1:
            return cls(items=cls.read(document[0]) if document else cls())
        if isinstance(document, dict):
            rest = {key: cls.read(value) for key, value in document.items() if key not in (_KINDS, _ITEMS)}
            kinds = cls.read(document.get(_KINDS, "")).kinds
            items = cls.read(document[_ITEMS]) if _ITEMS in document else None
            return cls(kinds, rest if rest or items is None else None, items)
        raise ValueError(f"{document!r} is no shape")

    def joined(self, other: Shape) -> Shape:
        """What is either of both."""
        keys = None
        if self.keys is not None or other.keys is not None:
            keys = _joined_keys([self.keys or {}, other.keys or {}])
        items = self.items if other.items is None else other.items
        if self.items is not None and other.items is not None:
            items = self.items.joined(other.items)
        return Shape(self.kinds | other.kinds, keys, items)


@dataclass(frozen=True)
class Shaper:
    """Makes shapes; `names`, in lower case, are texts that may be neither key nor word."""

    names: frozenset[str] = field(default_factory=frozenset)

    def of(self, value: Any) -> Shape:
        return self._shape(value, chosen=False, inside=False)

    def _shape(self, value: Any, *, chosen: bool, inside: bool) -> Shape:
        """`chosen` says that people choose the keys, `inside` that a `properties` further up is around it."""
        if isinstance(value, Mapping):
            return Shape(keys=_joined_keys(self._keys(value, chosen=chosen, inside=inside)))
        if isinstance(value, list):
            items = Shape()
            for each in value:
                items = items.joined(self._shape(each, chosen=False, inside=inside))
            return Shape(items=items)
        return Shape(frozenset({self._kind(value)}))

    def _keys(self, value: Mapping[str, Any], *, chosen: bool, inside: bool) -> Iterator[Mapping[str, Shape]]:
        # A run's properties are chosen at once, and those of a compute are its type's.
        free = ("runId" in value or inside) and "computeType" not in value
        for key, each in value.items():
            below = key in words.CHOSEN or (key == words.PROPERTIES and free)
            shape = self._shape(each, chosen=below and not chosen, inside=inside or key == words.PROPERTIES)
            yield {self._key(key, chosen=chosen): shape}

    def _key(self, key: str, *, chosen: bool) -> str:
        if key in words.CHOSEN_KEYS:
            return key
        if chosen:
            return next((family + GAP for family in words.FAMILIES if key.startswith(family)), GAP)
        return key if _KEY.fullmatch(key) and key.casefold() not in self.names else GAP

    def _kind(self, value: Any) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true or false"
        if isinstance(value, int | float):
            return "number"
        text = str(value)
        if text in words.VALUES and text.casefold() not in self.names:
            return f"text:{text}"
        return next((kind for kind, pattern in _TEXTS if pattern.fullmatch(text)), "text")


def _joined_keys(parts: Iterable[Mapping[str, Shape]]) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for part in parts:
        for key, shape in part.items():
            found[key] = found[key].joined(shape) if key in found else shape
    return found

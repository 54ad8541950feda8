"""Where two recordings differ: calls, statuses, headers and shapes that only one of them has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tasks.recording.exchange import Exchange, Recording
from tasks.recording.shape import Shape

_TEXT = "text:"
# What is before the interesting part of most paths.
_ROOTS = (
    "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}",
    "/subscriptions/{}/providers/Microsoft.MachineLearningServices/locations/{}",
)


class Matter(StrEnum):
    """What differs."""

    CALL = "call"
    STATUS = "status"
    HEADER = "header"
    SHAPE = "shape"
    WORD = "word"  # a state or code that only the one has: how fast it was may be why


@dataclass(frozen=True)
class Difference:
    """One difference, at a call; `there` and `here` say what the recording and the other have.

    `steps` are those in which the recording has the call.
    """

    call: str
    steps: tuple[str, ...]
    matter: Matter
    what: str
    there: str
    here: str

    @property
    def counts(self) -> bool:
        """Whether it is more than a matter of how long something took."""
        return self.matter is not Matter.WORD

    def __str__(self) -> str:
        return f"{self.matter} {self.what}: {self.there} in the recording, {self.here} here"


_Found = tuple[Matter, str, str, str]


@dataclass
class _Call:
    """All answers to one call, in whichever step: polls of an operation come when they come."""

    steps: dict[int, dict[str, None]] = field(default_factory=dict)
    headers: dict[int, set[str]] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)

    def all_steps(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step for steps in self.steps.values() for step in steps))

    def add(self, exchange: Exchange) -> None:
        status = exchange.status
        self.steps.setdefault(status, {})[exchange.step] = None
        self.headers.setdefault(status, set()).update(exchange.headers)
        if exchange.shape is not None:
            self.shapes[status] = self.shapes.get(status, Shape()).joined(Shape.read(exchange.shape))


def differences(there: Recording, here: Recording) -> list[Difference]:
    """What `there`, a recording of Azure, has otherwise than `here`, one of the local workspace."""
    theirs, ours = _calls(there.exchanges), _calls(here.exchanges)
    found: list[Difference] = []
    for call, each in theirs.items():
        steps = each.all_steps()
        if call not in ours:
            found.append(Difference(call, steps, Matter.CALL, "is made", *_sides(True)))
            continue
        different = _different(each, ours[call])
        found += [Difference(call, steps, *difference) for difference in different]
    only_here = (call for call in ours if call not in theirs)
    found += [Difference(call, (), Matter.CALL, "is made", *_sides(False)) for call in only_here]
    return found


def _calls(exchanges: Iterable[Exchange]) -> dict[str, _Call]:
    found: dict[str, _Call] = {}
    for exchange in exchanges:
        path = exchange.path
        for root in _ROOTS:
            path = path.replace(root, "…")
        call = f"{exchange.method} {exchange.service} {path}"
        if exchange.version:
            call += f" ({exchange.version})"
        found.setdefault(call, _Call()).add(exchange)
    return found


def _different(there: _Call, here: _Call) -> Iterator[_Found]:
    for status in sorted(there.steps.keys() ^ here.steps.keys()):
        where = ", ".join((there if status in there.steps else here).steps[status])
        yield Matter.STATUS, f"{status} ({where})", *_sides(status in there.steps)
    for status in sorted(there.steps.keys() & here.steps.keys()):
        for name in sorted(there.headers[status] ^ here.headers[status]):
            yield Matter.HEADER, f"{name} of {status}", *_sides(name in there.headers[status])
        theirs, ours = there.shapes.get(status), here.shapes.get(status)
        if theirs is not None and ours is not None:
            yield from _shapes(theirs, ours, "")
        elif theirs is not ours:
            yield Matter.SHAPE, f"a JSON body of {status}", *_sides(theirs is not None)


def _shapes(there: Shape, here: Shape, at: str) -> Iterator[_Found]:
    """The differences of two shapes. A null says nothing of what else a value may be."""
    theirs, ours = _structure(there), _structure(here)
    if theirs and ours and theirs != ours:
        yield Matter.SHAPE, at or "the document", _listed(theirs), _listed(ours)
    words = _words(there), _words(here)
    if new := words[0] - words[1]:
        yield Matter.WORD, at, _listed(new), _listed(words[1]) or "none of the list"
    if there.items is not None and here.items is not None:
        yield from _shapes(there.items, here.items, f"{at}[]")
    if there.keys is None or here.keys is None:
        return
    for key in sorted(there.keys.keys() | here.keys.keys()):
        path = f"{at}.{key}" if at else key
        if key in there.keys and key in here.keys:
            yield from _shapes(there.keys[key], here.keys[key], path)
        else:
            yield Matter.SHAPE, path, *_sides(key in there.keys)


def _structure(shape: Shape) -> set[str]:
    """What kinds of values there are; which word a text is, and nulls, left aside."""
    kinds = {kind.partition(":")[0] if kind.startswith(_TEXT) else kind for kind in shape.kinds} - {"null"}
    if kinds > {"empty text"}:
        kinds -= {"empty text"}
    if shape.keys is not None:
        kinds.add("object")
    if shape.items is not None:
        kinds.add("list")
    return kinds


def _words(shape: Shape) -> set[str]:
    return {kind.removeprefix(_TEXT) for kind in shape.kinds if kind.startswith(_TEXT)}


def _listed(things: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, things)))


def _sides(there: bool) -> tuple[str, str]:
    return ("yes", "no") if there else ("no", "yes")

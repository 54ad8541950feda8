"""A job's steps as a drawing: layers from left to right, in the order in which they can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azureml_local.execution.graph import Step

NODE_WIDTH, NODE_HEIGHT = 204, 56  # pixels: five steps fit beside each other into the page
_GAP_X, _GAP_Y = 36, 22
_MARGIN = 4


@dataclass(frozen=True)
class Node:
    """A step's box; `x` and `y` of its upper left corner in pixels."""

    path: str
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """`edges` are SVG paths from box to box."""

    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    width: int
    height: int


def draw(steps: Sequence[Step]) -> Drawing:
    """Place every step right of all that it needs; `steps` come in an order in which they can run."""
    layer: dict[str, int] = {}
    for step in steps:
        layer[step.path] = 1 + max((layer[need] for need in step.needs), default=-1)
    rows = [0] * (1 + max(layer.values(), default=-1))
    nodes = {step.path: _next(step.path, layer[step.path], rows) for step in steps}
    passages: dict[tuple[str, int], Node] = {}
    edges = []
    for step in steps:
        for need in sorted(step.needs):
            between = range(layer[need] + 1, layer[step.path])
            for column in between:
                if (need, column) not in passages:
                    passages[need, column] = _next(need, column, rows)
            edges.append(_edge([nodes[need], *(passages[need, c] for c in between), nodes[step.path]]))
    return Drawing(
        tuple(nodes.values()),
        tuple(edges),
        width=2 * _MARGIN + len(rows) * (NODE_WIDTH + _GAP_X) - _GAP_X,
        height=2 * _MARGIN + max(rows, default=0) * (NODE_HEIGHT + _GAP_Y) - _GAP_Y,
    )


def _next(path: str, column: int, rows: list[int]) -> Node:
    """The next free place of a column: for a box, or for an edge that passes between the boxes."""
    row = rows[column]
    rows[column] += 1
    return Node(path, _MARGIN + column * (NODE_WIDTH + _GAP_X), _MARGIN + row * (NODE_HEIGHT + _GAP_Y))


def _edge(stations: Sequence[Node]) -> str:
    """From the first box's right side to the last one's left side, straight through the places between."""
    first, *passed, last = [(node.x, node.y + NODE_HEIGHT // 2) for node in stations]
    path, x, y = f"M {first[0] + NODE_WIDTH} {first[1]}", first[0] + NODE_WIDTH, first[1]
    for x2, y2 in [*passed, last]:
        middle = (x + x2) // 2
        path += f" C {middle} {y}, {middle} {y2}, {x2} {y2}"
        x, y = x2 + NODE_WIDTH, y2
        if (x2, y2) != last:
            path += f" H {x}"
    return path

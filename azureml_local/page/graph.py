"""A job's steps as a drawing: layers from left to right, in the order in which they can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from azureml_local.execution.graph import Step

NODE_WIDTH, NODE_HEIGHT = 190, 56  # pixels
_GAP_X, _GAP_Y = 60, 22
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
    nodes: dict[str, Node] = {}
    rows = [0] * (1 + max(layer.values(), default=-1))
    for step in steps:
        column = layer[step.path]
        x = _MARGIN + column * (NODE_WIDTH + _GAP_X)
        nodes[step.path] = Node(step.path, x, _MARGIN + rows[column] * (NODE_HEIGHT + _GAP_Y))
        rows[column] += 1
    edges = [_edge(nodes[need], nodes[step.path]) for step in steps for need in sorted(step.needs)]
    return Drawing(
        tuple(nodes.values()),
        tuple(edges),
        width=2 * _MARGIN + len(rows) * (NODE_WIDTH + _GAP_X) - _GAP_X,
        height=2 * _MARGIN + max(rows, default=0) * (NODE_HEIGHT + _GAP_Y) - _GAP_Y,
    )


def _edge(start: Node, end: Node) -> str:
    x1, y1 = start.x + NODE_WIDTH, start.y + NODE_HEIGHT // 2
    x2, y2 = end.x, end.y + NODE_HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M {x1} {y1} C {middle} {y1}, {middle} {y2}, {x2} {y2}"

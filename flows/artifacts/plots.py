"""Loss curves, lengths of the data and a sweep's runs as pictures that a web page shows by themselves."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

from tasks.data import PreparedData
from tasks.metrics import Metrics

_TRAIN, _TEST = "#7a869a", "#0b6bcb"


def loss_curve(metrics: Metrics) -> str:
    """A PNG as a data URI: training loss over the steps, held-out loss on top of it."""
    figure = _figure(7, 3.6)
    axes = figure.add_subplot()
    if metrics.loss:
        axes.plot(*zip(*metrics.loss, strict=True), color=_TRAIN, linewidth=1.4, label="training loss")
    if metrics.held_out:
        axes.plot(
            *zip(*metrics.held_out, strict=True),
            color=_TEST,
            marker="o",
            linewidth=2,
            label="held-out loss",
        )
        for step, value in (metrics.held_out[0], metrics.held_out[-1]):
            axes.annotate(
                f"{value:.3f}", (step, value), textcoords="offset points", xytext=(0, 8), ha="center"
            )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("cross-entropy")
    axes.margins(y=0.15)
    _plain(axes)
    return _uri(figure)


def data_lengths(data: PreparedData) -> str:
    """A PNG as a data URI: how many messages and how many tokens the conversations of both splits have."""
    figure = _figure(9, 3.4)
    turns, tokens = figure.subplots(1, 2, width_ratios=(2, 3))
    estimated = data.train.estimated or data.test.estimated
    _bars(turns, data, "turns", str)
    turns.set_xlabel("messages in a conversation")
    turns.set_ylabel("% of the split")
    _bars(tokens, data, "buckets", lambda upper: f"≤ {upper:,}")
    tokens.set_xlabel("tokens, estimated" if estimated else "tokens")
    return _uri(figure)


class Point(NamedTuple):
    """A run of a sweep: its held-out loss, and the interval over the seeds of its settings."""

    label: str
    loss: float
    span: tuple[float, float] | None
    wins: bool


def sweep(points: Sequence[Point], base_loss: float | None) -> str:
    """A PNG as a data URI: a row for each run, the best at the top, beside the base model's loss."""
    figure = _figure(9, min(1.4 + 0.34 * len(points), 14))
    axes = figure.add_subplot()
    for row, point in enumerate(points):
        colour = _TEST if point.wins else _TRAIN
        if point.span is not None:
            axes.hlines(row, *point.span, color=colour, alpha=0.35, linewidth=5)
        axes.plot(
            point.loss,
            row,
            marker="*" if point.wins else "o",
            color=colour,
            markersize=11 if point.wins else 7,
        )
        axes.annotate(
            f"{point.loss:.3f}", (point.loss, row), textcoords="offset points", xytext=(9, 0), va="center"
        )
    if base_loss is not None:
        axes.axvline(base_loss, color="#b42318", linestyle="--", linewidth=1.2, label="base model")
    axes.set_yticks(range(len(points)), [point.label for point in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.set_xlabel("held-out loss")
    _plain(axes)
    return _uri(figure)


def _bars(axes: Any, data: PreparedData, histogram: str, label: Any) -> None:
    """A bar for each value in each split, as a share of the split: they differ much in size."""
    found = [(split.name, getattr(split.lengths, histogram)) for split in (data.train, data.test)]
    values = sorted({value for _, counts in found for value in counts})
    for offset, colour, (name, counts) in zip((-0.2, 0.2), (_TRAIN, _TEST), found, strict=True):
        together = sum(counts.values()) or 1
        shares = [100 * counts.get(value, 0) / together for value in values]
        axes.bar([at + offset for at in range(len(values))], shares, 0.4, color=colour, label=name)
    every = -(-len(values) // 8)  # labels stay apart
    axes.set_xticks(range(0, len(values), every), [label(value) for value in values[::every]])
    _plain(axes)


def _figure(width: float, height: float) -> Any:
    # Not pyplot: it keeps global state, and a flow may run beside others in one process.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _uri(figure: Any) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"

"""The loss curve and the lengths of the data as pictures that a web page shows by themselves."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any

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
    axes.legend(frameon=False)


def _uri(figure: Any) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"

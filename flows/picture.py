"""The loss curve as a picture that a web page shows by itself."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

from tasks.metrics import Metrics


def loss_curve(metrics: Metrics) -> str:
    """A PNG as a data URI: training loss over the steps, held-out loss on top of it."""
    # Not pyplot: it keeps global state, and a flow may run beside others in one process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if metrics.loss:
        axes.plot(*zip(*metrics.loss, strict=True), color="#7a869a", linewidth=1.4, label="training loss")
    if metrics.held_out:
        axes.plot(
            *zip(*metrics.held_out, strict=True),
            color="#0b6bcb",
            marker="o",
            linewidth=2,
            label="held-out loss",
        )
        for step, value in (metrics.held_out[0], metrics.held_out[-1]):
            axes.annotate(
                f"{value:.3f}", (step, value), textcoords="offset points", xytext=(0, 8), ha="center"
            )
    axes.set_xlabel("step")
    axes.set_ylabel("cross-entropy")
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    picture = BytesIO()
    canvas.print_png(picture)
    return f"data:image/png;base64,{b64encode(picture.getvalue()).decode()}"

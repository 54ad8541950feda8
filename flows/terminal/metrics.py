"""`finetune metrics`: the figures of all runs, served to Prometheus."""

from __future__ import annotations

from threading import Event
from typing import Annotated

import typer

from flows.terminal.reporting import reporting


def metrics(
    port: Annotated[int, typer.Option(help="The port to be scraped at.")] = 9464,
    address: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
) -> None:
    """Serve the metrics of all runs to Prometheus, until interrupted."""
    with reporting("no more metrics"):
        from flows.terminal import prefect_server

        prefect_server.start()
        from flows.dashboard import prometheus
        from flows.dashboard.selection import Selection
        from flows.terminal.history import read

        with prometheus.serving(lambda: read(Selection()), port, address):
            Event().wait()

"""What a run was made of and what it made, as Prefect's asset events: data and base, model, endpoint.

Prefect Cloud draws them as lineage. The server of one's own has no page for assets (3.8): there they stand in
the event feed, with the run, and an automation can wait for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.run import events
from flows.run.context import Run
from tasks.core.reuse import Reused


@dataclass(frozen=True)
class Asset:
    """A thing by the address that names it everywhere, and the addresses that it was made of."""

    key: str
    name: str
    made_of: tuple[str, ...]
    reused: Reused | None

    @property
    def event(self) -> str:
        """As a task of Prefect's own would say it: a thing that was found was not made."""
        return events.ASSET_FOUND if self.reused else events.ASSET_MADE


def publish(run: Run) -> None:
    """Let Prefect know of everything that the run has made or found; nothing of what it did not get to."""
    for asset in assets(run):
        events.asset(asset.event, asset.key, asset.name, asset.made_of)


def assets(run: Run) -> Iterator[Asset]:
    data, base, model = Run.data.of(run), Run.base.of(run), Run.model.of(run)
    if data is None or base is None:
        return
    prepared = f"finetune://data/{data.sha256[:16]}"
    yield Asset(prepared, f"{data.source}, prepared", (), data.reused)
    if model is None:
        return
    trained = f"azureml://models/{model.name}/versions/{model.version}"
    yield Asset(trained, f"{model.name}:{model.version}", (prepared, base.id), model.reused)
    endpoint, deployments = Run.endpoint.of(run), Run.deployments.of(run)
    if endpoint is not None and deployments:
        served = f"azureml://onlineEndpoints/{endpoint.name}"
        yield Asset(served, endpoint.name, (trained,), deployments[0].reused)

"""VM sizes of the workspace's region: what they have, what they may be used for, what they cost."""

from __future__ import annotations

import csv
import logging
from functools import lru_cache
from importlib import resources
from typing import Any

from azure.core.exceptions import HttpResponseError
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure

# Managed endpoints run on sizes with this mark, which stands for model inference runtime.
_SERVING = "MIR"
_LOG = logging.getLogger("finetune")


class Size(BaseModel):
    """One VM size; memory in GB, prices in dollars an hour on Linux, None where none is published."""

    model_config = ConfigDict(frozen=True)

    name: str
    family: str
    vcpus: int
    gpus: int
    memory: float
    price: float | None
    low_priority_price: float | None
    compute_types: tuple[str, ...]

    @property
    def can_serve(self) -> bool:
        return _SERVING.casefold() in (kind.casefold() for kind in self.compute_types)

    def hourly(self, tier: str = "dedicated") -> float:
        """Dollars an hour; 0 where Azure publishes no price."""
        price = self.low_priority_price if tier == "low_priority" else self.price
        return price or 0.0


def find(session: Session, name: str) -> Size:
    """The size of that name, compared without regard to case; raises Failure when the region lacks it."""
    sizes = _sizes(session)
    size = sizes.get(name.casefold())
    if size is None:
        gpu = sorted(known.name for known in sizes.values() if known.gpus)
        raise Failure(
            f"The VM size {name!r} does not exist in {session.location}.",
            f"Sizes with GPUs there: {', '.join(gpu)}.",
            cause=Cause.COMPUTE,
        )
    return size


def check_serves(size: Size, do: str) -> None:
    """Raise Failure, which says to `do` that, for a size on which no managed endpoint runs."""
    if not size.can_serve:
        raise Failure(f"{size.name} can serve no managed endpoint.", do, cause=Cause.COMPUTE)


def parse(row: dict[str, Any]) -> Size:
    """A size from one row of the service's answer."""
    prices = {
        price["vmTier"].casefold(): float(price["retailPrice"])
        for price in (row.get("estimatedVMPrices") or {}).get("values", ())
        if price.get("osType") == "Linux"
    }
    return Size(
        name=row["name"],
        family=row.get("family", ""),
        vcpus=row.get("vCPUs", 0),
        gpus=row.get("gpus", 0),
        memory=row.get("memoryGB", 0),
        price=prices.get("standard"),
        low_priority_price=prices.get("lowpriority"),
        compute_types=tuple(row.get("supportedComputeTypes") or ()),
    )


# The SDK's list_sizes() fills name, family and GPUs only; the route behind it tells the prices as well.
@lru_cache(maxsize=8)
def _sizes(session: Session) -> dict[str, Size]:
    path = (
        f"/subscriptions/{session.subscription_id}/providers/Microsoft.MachineLearningServices"
        f"/locations/{session.location}/vmSizes"
    )
    try:
        rows = clients.read(session, path, "2024-04-01")["value"]
    except HttpResponseError as error:
        if error.status_code != 403:
            raise
        # The route is at the subscription's scope, where the role AzureML Data Scientist has nothing.
        _LOG.warning("Sizes are read from a shipped table, without prices: %s", explain(error).what)
        return shipped()
    return {row["name"].casefold(): parse(row) for row in rows}


def shipped() -> dict[str, Size]:
    """The sizes that are known without asking: what they have, and no price."""
    table = resources.files("tasks.azure").joinpath("sizes.csv").read_text(encoding="utf-8")
    return {
        row["name"].casefold(): Size(
            name=row["name"],
            family=row["family"],
            vcpus=int(row["vcpus"]),
            gpus=int(row["gpus"]),
            memory=float(row["memory"]),
            price=None,
            low_priority_price=None,
            compute_types=tuple(row["compute_types"].split()),
        )
        for row in csv.DictReader(table.splitlines())
    }

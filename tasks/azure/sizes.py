"""VM sizes of the workspace's region: what they have, what they may be used for, what they cost."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure

# Managed endpoints run on sizes with this mark, which stands for model inference runtime.
_SERVING = "MIR"


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


# The SDK's list_sizes() fills name, family and GPUs only; the route behind it tells the prices as well.
@lru_cache(maxsize=8)
def _sizes(session: Session) -> dict[str, Size]:
    path = (
        f"/subscriptions/{session.subscription_id}/providers/Microsoft.MachineLearningServices"
        f"/locations/{session.location}/vmSizes"
    )
    return {row["name"].casefold(): parse(row) for row in clients.read(session, path, "2024-04-01")["value"]}


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

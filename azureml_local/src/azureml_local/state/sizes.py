"""The VM sizes on offer, with their families and East US prices of November 2025."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from azureml_local.errors import BadRequest


@dataclass(frozen=True)
class Size:
    """One VM size: `memory` in GB, `disk` the temporary disk in MB, prices in dollars an hour on Linux."""

    name: str
    family: str
    vcpus: int
    gpus: int
    memory: float
    disk: int
    price: float
    low_priority_price: float
    compute_types: tuple[str, ...]
    low_priority: bool
    generation: str
    infiniband: bool

    def hourly_price(self, priority: str = "Dedicated") -> float:
        """Dollars an hour at `Dedicated` or `LowPriority`."""
        return self.low_priority_price if priority.casefold() == "lowpriority" else self.price


def find(name: str) -> Size | None:
    """The size of that name, compared without regard to case."""
    return _BY_NAME.get(name.casefold())


def lookup(name: str) -> Size:
    """The size of that name; raises BadRequest naming some that exist."""
    size = find(name)
    if size is None:
        raise BadRequest(
            f"The VM size {name!r} is not offered in this region. Choose one of: "
            + ", ".join(s.name for s in SIZES)
            + ".",
            code="InvalidVmSize",
            target="vmSize",
        )
    return size


def families() -> tuple[str, ...]:
    """The families of sizes, each once."""
    return tuple(dict.fromkeys(size.family for size in SIZES))


def _read() -> tuple[Size, ...]:
    with (Path(__file__).parent / "sizes.csv").open(newline="") as file:
        return tuple(_size(row) for row in csv.DictReader(file))


def _size(row: dict[str, str]) -> Size:
    return Size(
        name=row["name"],
        family=row["family"],
        vcpus=int(row["vcpus"]),
        gpus=int(row["gpus"]),
        memory=float(row["memory"]),
        disk=int(row["disk"]),
        price=float(row["price"]),
        low_priority_price=float(row["low_priority_price"]),
        compute_types=tuple(row["compute_types"].split()),
        low_priority=row["low_priority"] == "yes",
        generation=row["generation"],
        infiniband=row["infiniband"] == "yes",
    )


# The K80 sizes (NC6 to NC24r) are gone from the cloud; here they stay, to try a client's refusal of them.
SIZES = _read()

_BY_NAME = {size.name.casefold(): size for size in SIZES}

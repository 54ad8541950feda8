"""What a run says that it will cost."""

from __future__ import annotations

from typing import Any

import pytest

from flows.run.config import Finetune
from flows.run.forecast import forecast
from tasks.azure.sizes import Size
from tasks.compute import Cluster

CLUSTER = Cluster(name="c", size="S", gpus=1, nodes=2, price=3.5, created=False)
SIZE = Size(
    name="S",
    family="f",
    vcpus=24,
    gpus=1,
    memory=220,
    price=4.0,
    low_priority_price=None,
    compute_types=("MIR",),
)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"wait": {"timeout_hours": 3}}, "at most $21.00 (time-out 3 h)"),
        ({"wait": {"timeout_hours": 3, "budget_usd": 20}}, "at most $20.00 (budget)"),
        ({"wait": {"timeout_hours": 1, "budget_usd": 20}}, "at most $7.00 (time-out 1 h)"),
        ({"deploy": {"instance_count": 3}}, "$12.00 an hour for serving"),
        ({"deploy": {"compare_with_base": True}}, "$8.00 an hour for serving"),
        ({"deploy": {"keep_endpoint": "4h"}}, "for serving, kept for 4h"),
        ({"workspace": {"where": "azure"}}, "it costs $7.00 an hour for training"),
        ({"workspace": {"where": "local"}}, "Azure would charge $7.00 an hour for training"),
    ],
)
def test_forecast(config: dict[str, Any], said: str) -> None:
    assert said in forecast(Finetune.model_validate(config), CLUSTER, SIZE)


def test_a_size_without_a_price() -> None:
    free = CLUSTER.model_copy(update={"price": 0.0})
    said = forecast(Finetune.model_validate({"wait": {"timeout_hours": 2}}), free, SIZE)
    assert "an unpublished price an hour for training, for 2 h at most" in said

"""Sizes of the region, and those that are known without being allowed to ask."""

from __future__ import annotations

from azureml_local.state.sizes import SIZES
from tasks.azure import sizes
from tasks.azure.clients import Session


def test_what_is_shipped_is_what_the_service_says_but_for_prices(session: Session) -> None:
    shipped = sizes.shipped()
    assert len(shipped) == len(SIZES)
    for name in shipped:
        asked = sizes.find(session, name)
        assert shipped[name] == asked.model_copy(update={"price": None, "low_priority_price": None})
    assert shipped["standard_nc24ads_a100_v4"].hourly() == 0

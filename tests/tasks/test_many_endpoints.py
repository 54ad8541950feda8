"""A subscription with as many endpoints as there may be: lists of several pages, and no room for another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.core.exceptions import HttpResponseError

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Scenario
from tasks.azure import clients, listing
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Cause
from tasks.core.lease import Lease
from tasks.leased import Kind, find_leased
from tasks.reap import release
from tasks.sign_in import Workspace, sign_in

MOST = 300  # endpoints
LAST = f"endpoint-{MOST - 1}"  # on the last page of the list
DEPLOYMENTS = 120  # more than a page, which no endpoint of Azure's has
PRICE = 0.5
EXPIRED = Lease(owner="ann", run="ours", expires=datetime.now(UTC) - timedelta(hours=1), hourly=PRICE)


def seed() -> dict[str, Any]:
    """Other people's endpoints but for the last; behind the first many deployments, the last of them ours."""
    endpoints: list[dict[str, Any]] = [{"name": f"endpoint-{number:03d}"} for number in range(MOST)]
    endpoints[-1]["tags"] = EXPIRED.tags()
    size = {"instance_type": "Standard_DS3_v2"}
    names = [f"deployment-{number:03d}" for number in range(DEPLOYMENTS)]
    deployments: list[dict[str, Any]] = [{"name": name, **size} for name in names]
    deployments[-1]["tags"] = EXPIRED.tags()
    endpoints[0]["deployments"] = deployments
    return {"endpoints": endpoints}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state of a workspace that is as full as the seed has it; this process' environment leads to it."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "seed.yaml").write_text(yaml.safe_dump(seed()))
    scenario = Scenario(seed=str(folder / "seed.yaml"))
    with (
        switch.joined(folder / "state", scenario=scenario) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield folder / "state"


@pytest.fixture
def full(seeded: Path) -> Iterator[Session]:
    """Signed in to that workspace, which is as full again after the test."""
    yield sign_in.fn(Workspace())
    address = Address.read(seeded)
    assert address is not None
    switch.ask(seeded, address, "/admin/reset", {})


def test_one_endpoint_more_is_refused_with_what_to_do(full: Session) -> None:
    wanted = ManagedOnlineEndpoint(name="one-more", auth_mode="key")
    with pytest.raises(HttpResponseError) as refused:
        clients.workspace(full).online_endpoints.begin_create_or_update(wanted)
    failure = explain(refused.value)
    assert failure.cause is Cause.QUOTA
    assert "finetune reap" in failure.do


@pytest.mark.slow
def test_what_is_ours_is_found_on_whatever_page_and_released(full: Session) -> None:
    assert len(list(listing.endpoints(full))) == MOST
    found = find_leased.fn(full)
    assert found.unseen == {}
    assert {(each.kind, each.parent, each.name) for each in found.leased} == {
        (Kind.ENDPOINT, None, LAST),
        (Kind.DEPLOYMENT, "endpoint-000", f"deployment-{DEPLOYMENTS - 1}"),
    }
    assert release(full, "ours", training=False).things
    assert [each.name for each in listing.endpoints(full) if each.name == LAST] == []

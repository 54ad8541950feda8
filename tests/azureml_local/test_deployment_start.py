"""How long a deployment takes until it is ready, at the pace `real`, by a clock that the tests move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineEndpoint, ProbeSettings
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential

from azureml_local import switch
from azureml_local.server import Address
from tasks.azure import clients
from tests.azureml_local.test_endpoint import code, deployment
from tests.conftest import poll_often
from tests.support.waiting import OFTEN, until

READY = "def init():\n    print('loaded', flush=True)\ndef run(raw):\n    return raw\n"
LOADING = "print('loading', flush=True)\n    import time\n    time.sleep(600)"
NEVER = READY.replace("print('loaded', flush=True)", LOADING)


@dataclass(frozen=True)
class Real:
    """A workspace at the pace `real`."""

    state: Path
    client: MLClient

    def advance(self, seconds: float) -> None:
        address = Address.read(self.state)
        assert address
        switch.ask(self.state, address, "/admin/clock", {"seconds": seconds})

    def state_of(self, endpoint: str) -> str:
        return clients.state(self.client.online_deployments.get("demo", endpoint).provisioning_state)

    def log(self, endpoint: str) -> str:
        return str(self.client.online_deployments.get_logs("demo", endpoint, lines=50))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    state = tmp_path_factory.mktemp("real")
    with switch.joined(state, pace="real") as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        poll_often(patch)
        client = MLClient(
            DefaultAzureCredential(),
            environment["AZURE_SUBSCRIPTION_ID"],
            environment["AZURE_RESOURCE_GROUP"],
            environment["AZUREML_WORKSPACE_NAME"],
            polling_interval=OFTEN,
        )
        yield Real(state, client)


@pytest.fixture
def endpoint(real: Real) -> str:
    name = f"ep-{uuid4().hex[:12]}"
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key")
    real.client.online_endpoints.begin_create_or_update(endpoint).result()
    return name


def deploy(real: Real, endpoint: str, folder: Path, script: str, **probes: ProbeSettings) -> Any:
    wanted = deployment(endpoint, "demo", code(folder, script=script), **probes)
    return real.client.online_deployments.begin_create_or_update(wanted)


def test_a_deployment_is_ready_no_sooner_than_its_readiness_probe_begins(
    real: Real, endpoint: str, tmp_path: Path
) -> None:
    poller = deploy(real, endpoint, tmp_path, READY, readiness_probe=ProbeSettings(initial_delay=900))
    real.advance(30)  # the machines and the image are there
    until(lambda: "loaded" in real.log(endpoint))
    assert real.state_of(endpoint) == "Creating"
    real.advance(800)
    assert real.state_of(endpoint) == "Creating"
    real.advance(100)
    assert poller.result().provisioning_state == "Succeeded"


@pytest.mark.slow
def test_a_model_that_loads_longer_than_its_liveness_probe_allows_is_given_up(
    real: Real, endpoint: str, tmp_path: Path
) -> None:
    poller = deploy(
        real,
        endpoint,
        tmp_path,
        NEVER,
        liveness_probe=ProbeSettings(initial_delay=600, period=10, failure_threshold=3),
        readiness_probe=ProbeSettings(initial_delay=10, period=100, failure_threshold=100),
    )
    real.advance(30)
    until(lambda: "loading" in real.log(endpoint))
    real.advance(590)
    assert real.state_of(endpoint) == "Creating"
    real.advance(60)
    with pytest.raises(HttpResponseError, match="ResourceNotReady.*Liveness probe failed"):
        poller.result()

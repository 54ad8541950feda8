"""Whatever schemathesis makes up from the OpenAPI documents, the answer is no server error."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import requests
import schemathesis
from azure.identity import DefaultAzureCredential
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from azureml_local import switch
from tests.azureml_local.contract.document import documents
from tests.azureml_local.contract.openapi import DOCUMENTS, Contract
from tests.azureml_local.contract.report import served
from tests.support.examples import examples
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the OpenAPI documents are not at hand")

# What is known to a new workspace, and names of what some of the requests make.
NAMES = {
    "subscriptionId": ["00000000-0000-0000-0000-000000000001"],
    "resourceGroupName": ["local"],
    "workspaceName": ["local"],
    "registryName": ["azureml"],
    "location": ["local"],
    "name": ["workspaceblobstore", "Phi-4", "one"],
    "computeName": ["one-cluster"],
    "version": ["1"],
    "endpointName": ["one-endpoint"],
    "deploymentName": ["blue"],
    "id": ["one"],
}
# How many requests are made up for an operation. What they say in paths and queries goes through the same
# few lines for all operations; a body is each operation's own.
WITH_BODY, WITHOUT = 8, 3


@cache
def operations() -> dict[str, Any]:
    """schemathesis's operations by id, of all that is served."""
    if not DOCUMENTS.is_dir():
        return {}
    contract = Contract.read()
    loaded = map(schemathesis.openapi.from_dict, documents(contract, served(contract), NAMES))
    found = [result.ok() for schema in loaded for result in schema.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workspace of its own: what is made up here is in nobody's way."""
    with (
        switch.joined(tmp_path_factory.mktemp("workspace")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment["AZUREML_LOCAL_URL"]


@pytest.fixture(scope="module")
def session(url: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


@pytest.mark.slow
@pytest.mark.parametrize("name", operations())
def test_no_made_up_request_makes_the_server_fail(url: str, session: requests.Session, name: str) -> None:
    operation = operations()[name]
    valid, invalid = map(operation.as_strategy, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE))

    @settings(
        max_examples=examples(WITH_BODY if operation.body else WITHOUT),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(valid, invalid))
    def try_out(case: Any) -> None:
        answer = case.call(base_url=url, session=session, timeout=PATIENCE)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if answer.status_code >= 400 and answer.content:
            assert answer.json()["error"]["message"]

    try_out()

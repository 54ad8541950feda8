"""Whatever comes in, the answer is the service's own and never a server error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
import requests
from azure.identity import DefaultAzureCredential
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azureml_local.settings import PROVIDER
from azureml_local.wire import asset, compute, datastore, operation, region, registry, workspace
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

ROUTES = [
    found
    for module in (asset, compute, datastore, operation, region, registry, workspace)
    for found in module.routes
]
SCOPE = {
    "subscription": "00000000-0000-0000-0000-000000000001",
    "group": "local",
    "workspace": "local",
    "registry": "azureml",
}

# Half of what is drawn is what the service knows, so that more than the first check is reached.
NAMES = st.sampled_from(["a", "1", "cluster", "workspaceblobstore", "azureml_default"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=12
).filter(lambda name: name not in (".", ".."))
KEYS = st.sampled_from(
    [
        "computeType",
        "properties",
        "vmSize",
        "vmPriority",
        "scaleSettings",
        "minNodeCount",
        "maxNodeCount",
        "nodeIdleTimeBeforeScaleDown",
        "tags",
        "description",
        "modelUri",
        "modelType",
        "dataUri",
        "dataType",
        "codeUri",
        "componentSpec",
        "type",
        "image",
        "build",
        "condaFile",
        "isArchived",
        "datastoreType",
        "containerName",
        "value",
        "id",
        "limit",
        "flavors",
        "stage",
    ]
)
KNOWN = st.sampled_from(
    [
        "AmlCompute",
        "Standard_DS3_v2",
        "Dedicated",
        "LowPriority",
        "PT2M",
        "AzureBlob",
        "uri_file",
        "mlflow_model",
        "command",
        "azureml://datastores/workspaceblobstore/paths/x",
        "azureml://datastores/workspaceblobstore/paths/../../x",
        "azureml://jobs/x/outputs/y",
        "runs:/x/y",
        "azureml:a:1",
        "/subscriptions/x/workspaces/y/data/z/versions/1",
        "azureml://registries/azureml/models/a/versions/1",
        "https://localhost/x",
    ]
)
VALUES = KNOWN | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    VALUES | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
CLUSTER = st.fixed_dictionaries(
    {"computeType": st.just("AmlCompute"), "properties": st.dictionaries(KEYS, JSON, max_size=6)}
)
BODIES = JSON | st.fixed_dictionaries({"properties": st.dictionaries(KEYS, JSON, max_size=6) | CLUSTER})
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "$top",
            "$skip",
            "$skipToken",
            "$orderBy",
            "listViewType",
            "tags",
            "hash",
            "stage",
            "computeType",
            "underlyingResourceAction",
            "isDefault",
            "api-version",
        ]
    ),
    st.sampled_from(["0", "1", "Delete", "AmlCompute", "All", "a=b", ",,="]) | st.text(max_size=8),
    max_size=3,
)


@pytest.fixture
def session(server: LocalServer, environment: dict[str, str]) -> Iterator[requests.Session]:
    with requests.Session() as session:
        token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
        session.headers["Authorization"] = f"Bearer {token}"
        yield session


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_request_makes_the_server_fail(
    server: LocalServer, session: requests.Session, data: st.DataObject
) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    method = data.draw(st.sampled_from(sorted(set(route.methods or ()) - {"HEAD"})))

    def value(match: re.Match[str]) -> str:
        return SCOPE.get(match[1]) or quote(data.draw(NAMES), safe="")

    path = re.sub(r"{(\w+)}", value, route.path)
    body = None if method == "GET" else data.draw(BODIES)
    query = urlencode(data.draw(QUERIES), errors="replace")
    answer = session.request(method, f"{server.url}{path}?{query}", json=body, timeout=PATIENCE)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.content:
        assert answer.json()["error"]["message"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_path_makes_the_server_fail(server: LocalServer, session: requests.Session, path: str) -> None:
    for prefix in ("/", f"/subscriptions/x/providers/{PROVIDER}/"):
        answer = session.get(server.url + prefix + quote(path, safe="/"), timeout=PATIENCE)
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("given", [{"description": 5}, {"isArchived": "yes"}, {"isAnonymous": 1}])
@pytest.mark.parametrize("path", ["codes/any", "models/any", "environments/any/versions/1"])
def test_what_an_asset_says_of_itself_has_its_type(
    server: LocalServer, session: requests.Session, path: str, given: dict[str, object]
) -> None:
    group = f"/subscriptions/{SCOPE['subscription']}/resourceGroups/{SCOPE['group']}"
    address = f"{server.url}{group}/providers/{PROVIDER}/workspaces/{SCOPE['workspace']}/{path}"
    answer = session.put(address, json={"properties": given}, timeout=PATIENCE)
    assert answer.status_code == 400, answer.text
    assert next(iter(given)) in answer.json()["error"]["message"]

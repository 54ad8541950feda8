"""Whatever comes in, the answer is the service's own and never a server error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import requests
from azure.identity import DefaultAzureCredential
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from azureml_local import switch
from azureml_local.settings import PROVIDER
from azureml_local.wire import app
from tests.conftest import LocalServer
from tests.support.examples import examples
from tests.support.waiting import PATIENCE

ROUTES = [
    route
    for route in (*app.GUARDED, *app.OPEN)
    if isinstance(route, Route) and not route.path.startswith("/admin")  # faults would fail other tests
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
    VALUES | st.text(st.characters(exclude_categories=[]), max_size=20),  # half characters too
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


# Other requests with each run: what it prints of one that failed makes it the same again.
@pytest.mark.slow
@settings(
    max_examples=examples(150),
    derandomize=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_request_makes_the_server_fail(
    server: LocalServer, session: requests.Session, data: st.DataObject
) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    method = data.draw(st.sampled_from(sorted(route.methods or ())))

    def value(match: re.Match[str]) -> str:
        return SCOPE.get(match[1]) or quote(data.draw(NAMES), safe="")

    path = re.sub(r"{(\w+)(?::\w+)?}", value, route.path)
    body = None if method in ("GET", "HEAD") else data.draw(BODIES)
    query = urlencode(data.draw(QUERIES), errors="replace")
    url = f"{server.url}{path}?{query}"
    answer = session.request(method, url, json=body, timeout=PATIENCE, allow_redirects=False)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.content and "json" in answer.headers.get("content-type", ""):
        error = answer.json().get("error", answer.json())  # MLflow's have the message at the top
        assert error if isinstance(error, str) else error["message"]


@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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


@pytest.mark.parametrize("text", ["\ud83d", "a\udc00b"])
def test_half_a_character_is_refused_at_the_door(
    server: LocalServer, session: requests.Session, text: str
) -> None:
    group = f"/subscriptions/{SCOPE['subscription']}/resourceGroups/{SCOPE['group']}"
    names = f"{server.url}{group}/providers/{PROVIDER}/workspaces/{SCOPE['workspace']}/data"
    given = {"dataUri": "https://x/y", "dataType": "uri_file", "tags": {"whole": "\U0001f600", "half": text}}
    refused = session.put(f"{names}/halves/versions/1", json={"properties": given}, timeout=PATIENCE)
    assert (refused.status_code, "surrogates" in refused.text) == (400, True)
    del given["tags"]["half"]  # type: ignore[attr-defined]
    assert session.put(f"{names}/halves/versions/1", json={"properties": given}, timeout=PATIENCE).ok
    (kept,) = session.get(f"{names}/halves/versions", timeout=PATIENCE).json()["value"]
    assert kept["properties"]["tags"] == {"whole": "\U0001f600"}


def test_head_answers_as_get_without_the_body(server: LocalServer, session: requests.Session) -> None:
    group = f"/subscriptions/{SCOPE['subscription']}/resourceGroups/{SCOPE['group']}"
    names = f"{group}/providers/{PROVIDER}/workspaces/{SCOPE['workspace']}"
    for path in ("/discovery", names, f"{names}/models", f"{names}/models/nobodys"):
        asked, got = (
            session.request(method, server.url + path, timeout=PATIENCE) for method in ("HEAD", "GET")
        )
        assert (asked.status_code, asked.content) == (got.status_code, b"")
        assert asked.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("runs/search", '{"a":'),
        ("runs/search", "[1]"),
        ("runs/search", "null"),
        ("runs/search", '{"filter": "\\ud83d"}'),
        ("runs/log-batch", '{"run_id": "x", "params": ["/"]}'),
        ("runs/log-batch-async", '{"run_id": "x", "tags": ["NaN"]}'),
        ("runs/log-batch-async", "[1]"),
    ],
)
def test_a_body_that_mlflow_cannot_read_is_a_bad_request(
    server: LocalServer, session: requests.Session, path: str, content: str
) -> None:
    group = f"/subscriptions/{SCOPE['subscription']}/resourceGroups/{SCOPE['group']}"
    prefix = f"/mlflow/v2.0{group}/providers/{PROVIDER}/workspaces/{SCOPE['workspace']}/api/2.0/mlflow/"
    answer = session.post(f"{server.url}{prefix}{path}", data=content, timeout=PATIENCE)
    assert (answer.status_code, "error_code" in answer.json()) == (400, True)


@pytest.mark.slow
def test_the_state_is_its_owners_alone(tmp_path: Path) -> None:
    """Also where the folder and the database were there before, open to everybody."""
    tmp_path.chmod(0o755)
    (tmp_path / "workspace.sqlite").touch(mode=0o644)
    with switch.joined(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("workspace.sqlite*")}
    assert set(modes.values()) == {0o600}

"""Roles: every route takes an action, and what no role allows is refused in Azure's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.ai.ml.entities import AmlCompute
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from mlflow.exceptions import MlflowException
from starlette.routing import Route
from typer.testing import CliRunner

from azureml_local import cli
from azureml_local.settings import PROVIDER
from azureml_local.state import access
from azureml_local.state.access import Access, BadRole, Role
from azureml_local.wire.app import GUARDED
from azureml_local.wire.authorization import needed_for
from tasks.azure.errors import explain
from tasks.azure.failure import Cause
from tasks.metrics import of_job
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/local"
WORKSPACE = f"{GROUP}/providers/{PROVIDER}/workspaces/local"
REGISTRY = f"{GROUP}/providers/{PROVIDER}/registries/azureml"
LOCATION = f"{SUBSCRIPTION}/providers/{PROVIDER}/locations/local"

Allow = Callable[[Any], None]


@pytest.fixture
def allow(server: LocalServer) -> Iterator[Allow]:
    """Puts roles in force until the test ends."""

    def put(roles: Any) -> None:
        server.admin("permissions", {"roles": roles})

    yield put
    server.admin("permissions", {"roles": access.OWNER})


@pytest.fixture
def ask(server: LocalServer, environment: dict[str, str]) -> Callable[..., requests.Response]:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    headers = {"Authorization": f"Bearer {token}"}

    def send(method: str, path: str, body: Any = None) -> requests.Response:
        query = {"api-version": "2024-04-01"}
        return requests.request(
            method, server.url + path, json=body, params=query, headers=headers, timeout=PATIENCE
        )

    return send


def role(*actions: str, but: tuple[str, ...] = (), at: str = WORKSPACE) -> dict[str, Any]:
    return {"Name": "test", "Actions": list(actions), "NotActions": list(but), "AssignableScopes": [at]}


def test_every_route_behind_the_token_takes_an_action_or_is_known_to_take_none() -> None:
    free = set()
    for route in GUARDED:
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            needed = needed_for(route.path, method, route.path.replace("{", "").replace("}", ""))
            if needed is None:
                free.add((method, route.path.split(f"/{PROVIDER}/")[-1].split("/")[0]))
                continue
            assert needed.action.rsplit("/", 1)[1] in ("read", "write", "delete", "action"), route.path
            assert needed.scope.startswith("/subscriptions/"), route.path
    # A public registry is read, and an operation asked how it is, without a role.
    assert free == {("GET", "registries"), ("POST", "registries"), ("GET", "locations"), ("GET", "")}


@pytest.mark.parametrize(
    ("method", "path", "action", "scope"),
    [
        ("GET", LOCATION + "/usages", "locations/usages/read", SUBSCRIPTION),
        ("POST", LOCATION + "/updateQuotas", "locations/updateQuotas/action", SUBSCRIPTION),
        ("GET", WORKSPACE, "workspaces/read", WORKSPACE),
        ("GET", WORKSPACE + "/computes", "workspaces/computes/read", WORKSPACE),
        ("PUT", WORKSPACE + "/computes/c", "workspaces/computes/write", WORKSPACE + "/computes/c"),
        ("POST", WORKSPACE + "/jobs/j/cancel", "workspaces/jobs/cancel/action", WORKSPACE + "/jobs/j"),
        (
            "POST",
            WORKSPACE + "/batchEndpoints/e/jobs",
            "workspaces/batchEndpoints/jobs/write",
            WORKSPACE + "/batchEndpoints/e",
        ),
        (
            "POST",
            WORKSPACE + "/datastores/d/listSecrets",
            "workspaces/datastores/listSecrets/action",
            WORKSPACE + "/datastores/d",
        ),
        ("PUT", REGISTRY + "/models/m/versions/1", "registries/assets/write", REGISTRY),
        ("GET", f"/history/v1.0{WORKSPACE}/runs/r", "workspaces/experiments/runs/read", WORKSPACE),
    ],
)
def test_without_a_role_the_refusal_names_action_and_scope(
    ask: Callable[..., requests.Response], allow: Allow, method: str, path: str, action: str, scope: str
) -> None:
    allow([])
    answer = ask(method, path, {})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "AuthorizationFailed")
    assert (
        f"authorization to perform action '{PROVIDER}/{action}' over scope '{scope}' or " in error["message"]
    )
    assert error["message"].startswith("The client '00000000-0000-0000-0000-00000000000c' with object id ")


def test_resource_manager_refuses_in_a_shape_of_its_own(
    ask: Callable[..., requests.Response], allow: Allow
) -> None:
    allow([])
    answer = ask("GET", WORKSPACE + "/jobs")
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.headers["x-ms-failure-cause"] == "gateway"


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "runs/log-batch", "experiments/runs/write"),
        ("POST", "runs/search", "experiments/runs/read"),
        ("GET", "experiments/get-by-name", "experiments/read"),
        ("GET", "model-versions/get", "models/read"),
    ],
)
def test_mlflow_takes_an_action_and_refuses_without_a_word(
    ask: Callable[..., requests.Response], allow: Allow, method: str, path: str, action: str
) -> None:
    whole = f"/mlflow/v2.0{WORKSPACE}/api/2.0/mlflow/{path}"
    allow([role(f"{PROVIDER}/workspaces/*/*", but=(f"{PROVIDER}/workspaces/{action}",))])
    answer = ask(method, whole, {})
    assert (answer.status_code, answer.text) == (403, "")
    allow([role(f"{PROVIDER}/workspaces/{action}")])
    assert ask(method, whole, {}).status_code != 403


def test_metrics_that_may_not_be_read_name_the_actions(environment: dict[str, str], allow: Allow) -> None:
    session = sign_in.fn(Workspace())
    allow([role(f"{PROVIDER}/workspaces/read")])
    with pytest.raises(MlflowException) as refused:
        of_job(session, "any", "job")
    failure = explain(refused.value)
    assert failure.cause is Cause.PERMISSION
    assert f"{PROVIDER}/workspaces/experiments/runs/read" in failure.do


def test_the_public_registry_is_read_without_a_role(
    ask: Callable[..., requests.Response], allow: Allow
) -> None:
    allow([])
    assert ask("GET", REGISTRY + "/models").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", LOCATION + "/vmSizes", 200),
        ("GET", LOCATION + "/usages", 200),
        ("GET", WORKSPACE + "/jobs", 200),
        ("DELETE", WORKSPACE + "/jobs/none", 403),
        ("PUT", REGISTRY + "/models/m/versions/1", 403),
        ("POST", LOCATION + "/updateQuotas", 403),
        ("GET", GROUP, 403),
        ("GET", f"{SUBSCRIPTION}/providers/{PROVIDER}/workspaces", 403),
        ("DELETE", WORKSPACE + "/datastores/other", 403),
    ],
)
def test_least_privilege_is_what_a_run_needs_and_no_more(
    ask: Callable[..., requests.Response], allow: Allow, method: str, path: str, status: int
) -> None:
    allow(access.LEAST_PRIVILEGE)
    assert ask(method, path, {}).status_code == status


def test_a_role_holds_at_its_scope_and_below_and_what_it_withholds_is_refused(
    ask: Callable[..., requests.Response], allow: Allow
) -> None:
    allow(role(f"{PROVIDER}/*/read", but=(f"{PROVIDER}/workspaces/jobs/*",)))
    assert ask("GET", WORKSPACE + "/computes").status_code == 200
    assert ask("GET", WORKSPACE + "/jobs").status_code == 403
    assert ask("GET", LOCATION + "/usages").status_code == 403
    allow(role(f"{PROVIDER}/*/read", at="/subscriptions/of-another-name"))
    assert ask("GET", WORKSPACE + "/jobs").status_code == 200
    assert ask("GET", LOCATION + "/usages").status_code == 200


def test_what_one_role_withholds_another_may_give(server: LocalServer) -> None:
    held = access.parse([role("*", but=("*/delete",)), role(f"{PROVIDER}/workspaces/computes/delete")])
    assert Access(held).allows(f"{PROVIDER}/workspaces/computes/delete", WORKSPACE + "/computes/c")
    assert not Access(held).allows(f"{PROVIDER}/workspaces/jobs/delete", WORKSPACE + "/jobs/j")


def test_the_caller_may_ask_what_it_may_do(ask: Callable[..., requests.Response], allow: Allow) -> None:
    allow(access.LEAST_PRIVILEGE)
    answer = ask("GET", WORKSPACE + "/providers/Microsoft.Authorization/permissions").json()
    runner, reader = answer["value"]  # that of the storage account is not held here, the subscription's is
    assert reader["actions"] == [f"{PROVIDER}/locations/{what}/read" for what in ("vmSizes", "usages")]
    assert f"{PROVIDER}/workspaces/computes/write" in runner["actions"]
    assert set(runner) == {"actions", "notActions", "dataActions", "notDataActions"}
    allow(role("*"))
    assert ask("GET", f"{WORKSPACE}/PROVIDERS/microsoft.authorization/Permissions").json()["value"] == [
        {"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}
    ]


def test_the_flow_says_which_action_is_missing_and_where(ml_client: Any, allow: Allow) -> None:
    allow(role(f"{PROVIDER}/workspaces/read", f"{PROVIDER}/workspaces/*/read"))
    with pytest.raises(HttpResponseError) as refused:
        ml_client.compute.begin_create_or_update(AmlCompute(name="mine", size="Standard_DS3_v2"))
    failure = explain(refused.value)
    assert failure.cause is Cause.PERMISSION
    assert failure.what == (
        f"The signed-in identity may not perform {PROVIDER}/workspaces/computes/write "
        f"on {WORKSPACE}/computes/mine."
    )


def test_a_blob_is_read_by_token_with_a_role_on_data_only(
    server: LocalServer, environment: dict[str, str], allow: Allow
) -> None:
    token = DefaultAzureCredential().get_token("https://storage.azure.com/.default").token
    address = f"{server.url}/local.blob.core.windows.net/azureml-blobstore/none.txt"

    def code() -> tuple[int, str]:
        answer = requests.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
        return answer.status_code, answer.headers["x-ms-error-code"]

    allow(role("*", at=SUBSCRIPTION))
    assert code() == (403, "AuthorizationPermissionMismatch")
    allow(access.OWNER)
    assert code() == (404, "BlobNotFound")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read: "),
        ("[1]", "are wrong: a role is a JSON object with a Name"),
        ('{"Name": "x"}', "are wrong: the role x has no AssignableScopes."),
        ('{"Name": "x", "Actions": "*"}', "are wrong: Actions of the role x must be a list of strings."),
    ],
)
def test_a_file_that_holds_no_role_is_reported_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "role.json"
    file.write_text(text)
    with pytest.raises(BadRole, match=f"^The roles in {file} .*$") as refused:
        access.read(str(file))
    assert said in str(refused.value)


def test_a_workspace_starts_with_the_roles_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "role.json"
    file.write_text(json.dumps(role(f"{PROVIDER}/workspaces/read")))
    assert access.read(str(file)) == (
        Role("test", (f"{PROVIDER}/workspaces/read",), (), (), (), (WORKSPACE,)),
    )
    wrong = CliRunner().invoke(
        cli.app, ["up", "--state", str(tmp_path), "--permissions", str(tmp_path / "none.json")]
    )
    said = f"There is no file {tmp_path / 'none.json'}; or choose owner or least-privilege."
    assert str(wrong.exception) == said

"""The doctor's checks, each against a workspace that has what it looks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from prefect.settings import PREFECT_API_URL, PREFECT_CLOUD_API_URL, get_current_settings, temporary_settings

from azureml_local.state import access
from flows.doctor import machine
from flows.doctor.check import Check, Finding, Line, Verdict, passes
from flows.doctor.examination import CHECKS, examine, passed
from flows.doctor.look import Look
from flows.run.config import Finetune
from tasks.azure import clients, sizes
from tasks.azure.clients import Session
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import tiny_config
from tests.support.waiting import PATIENCE

Examined = Callable[..., dict[str, list[Line]]]

PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def examined(environment: dict[str, str], tiny: str, tmp_path: Path) -> Examined:
    """The lines of each check for the tiny recipe, with changes to it."""

    def ask(*changes: str, only: str | None = None) -> dict[str, list[Line]]:
        clients.forget()
        sizes._sizes.cache_clear()
        config = tiny_config(tmp_path / "data", "compute.name=never-made", *changes)
        checks = [check for check in CHECKS if only in (None, check.name)]
        found: dict[str, list[Line]] = {}
        for line in examine(config, checks, PATIENCE):
            found.setdefault(line.check, []).append(line)
        return found

    return ask


def verdicts(lines: list[Line]) -> list[Verdict]:
    return [line.verdict for line in lines]


def test_a_good_recipe_passes_and_nothing_is_made(examined: Examined, ml_client: Any) -> None:
    before = {each.name for each in ml_client.compute.list()}
    found = examined()
    assert list(found) == [check.name for check in CHECKS]
    assert [line for lines in found.values() for line in lines if line.verdict is FAIL] == []
    assert found["cluster"][0].says == "never-made does not exist yet, and would be created"
    assert found["sign-in"][0].facts == {"credential": "ManagedIdentityCredential"}
    assert found["base model"][0].facts["version"] == "1"
    assert found["sizes and prices"][0].facts["hourly"] > 0
    assert {each.name for each in ml_client.compute.list()} == before


def test_without_a_sign_in_the_rest_is_not_checked(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.delenv("AZURE_CLIENT_SECRET", raising=False)
    found = examined()
    (line,) = found["sign-in"]
    assert line.verdict is FAIL
    assert "az login" in line.do
    said = {name: lines[0].says for name, lines in found.items() if lines[0].says.startswith("Not checked")}
    assert set(said) >= {"workspace", "base model", "registry", "component", "cluster", "providers"}
    assert {verdict for name in said for verdict in verdicts(found[name])} == {WARN}
    assert verdicts(found["data"]) == [PASS]


@pytest.mark.slow
def test_a_retired_model_fails_by_itself(examined: Examined) -> None:
    found = examined("base.name=Phi-3-mini-4k-instruct", "base.version=15")
    (line,) = found["base model"]
    assert line.verdict is FAIL
    assert "base.allow_retired" in line.do
    assert found["serving image"][0].says == "Not checked: see base model."
    found = examined("base.name=Phi-3-mini-4k-instruct", "base.version=15", "base.allow_retired=true")
    assert verdicts(found["base model"]).count(WARN) >= 2


def test_the_registrys_keys_and_versions_are_reported(examined: Examined) -> None:
    (line,) = examined("base.name=Phi-4", "base.version=8", only="registry")["registry"]
    assert line.verdict is PASS
    assert "supportedComputes" in line.facts["system_metadata"]
    assert line.facts["versions"] == ["8"]


def test_a_parameter_that_the_component_lacks_fails(examined: Examined) -> None:
    (line,) = examined("parameters.more.learning_speed=2", only="component")["component"]
    assert (line.verdict, "learning_rate" in line.do) == (FAIL, True)
    (line,) = examined("pipeline.output=nothing", only="component")["component"]
    assert (line.verdict, "mlflow_model_folder" in line.do) == (FAIL, True)


def test_prices_that_may_not_be_read_matter_to_a_budget(examined: Examined, let_fail: LetFail) -> None:
    let_fail(
        {"kind": "status", "path": "**/vmSizes", "status": 403, "code": "AuthorizationFailed", "count": 9}
        | {"message": "does not have authorization to perform action 'x' over scope '/y'"}
    )
    what = "sizes and prices"
    assert verdicts(examined(only=what)[what]) == [WARN, WARN]
    found = examined("wait.budget_usd=5", only=what)[what]
    assert verdicts(found) == [FAIL, WARN]
    assert "wait.timeout_hours" in found[0].do


def test_a_subscription_that_is_not_registered_is_told_how_to_be(
    examined: Examined, session: Session, server: LocalServer
) -> None:
    provider = "Microsoft.KeyVault"
    path = f"/subscriptions/{session.subscription_id}/providers/{provider}"
    token = clients.credential(False).get_token(f"{session.resource_manager}/.default").token

    def ask(action: str) -> None:
        answer = requests.post(
            f"{session.resource_manager}{path}/{action}",
            params={"api-version": "2021-04-01"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
        assert answer.ok

    (line,) = examined(only="providers")["providers"]
    assert (line.verdict, "Reader" in line.do) == (WARN, True)  # with the roles of a run alone
    with server.as_owner():
        ask("unregister")
        (line,) = examined(only="providers")["providers"]
        ask("register")
        assert (line.verdict, line.do) == (FAIL, f"Run: az provider register --namespace {provider}")
        assert verdicts(examined(only="providers")["providers"]) == [PASS]


def test_actions_that_no_role_allows_are_named(examined: Examined, server: LocalServer) -> None:
    action = "Microsoft.MachineLearningServices/workspaces/computes/write"
    runner, *others = access.documents(access.LEAST_PRIVILEGE)
    less = {**runner, "Actions": [each for each in runner["Actions"] if each != action]}
    assert verdicts(examined(only="permissions")["permissions"]) == [PASS]
    server.admin("permissions", {"roles": [less, *others]})
    try:
        (line,) = examined(only="permissions")["permissions"]
        (without,) = examined("compute.create=false", only="permissions")["permissions"]
    finally:
        server.admin("permissions", {"roles": access.LEAST_PRIVILEGE})
    assert (line.verdict, line.facts["missing"]) == (FAIL, [action])
    assert "creating the cluster" in line.do
    assert without.verdict is PASS


def test_permissions_that_may_not_be_read_are_a_warning(examined: Examined, server: LocalServer) -> None:
    runner, *others = access.documents(access.LEAST_PRIVILEGE)
    less = {**runner, "Actions": [each for each in runner["Actions"] if "Authorization" not in each]}
    server.admin("permissions", {"roles": [less, *others]})
    try:
        (line,) = examined(only="permissions")["permissions"]
    finally:
        server.admin("permissions", {"roles": access.LEAST_PRIVILEGE})
    assert (line.verdict, "permissions/read" in line.do) == (WARN, True)


def test_storage_without_keys_asks_for_an_identity(examined: Examined) -> None:
    (line,) = examined(only="storage")["storage"]
    assert (line.verdict, line.facts) == (PASS, {"takes_keys": False})
    (line,) = examined("compute.identity=", only="storage")["storage"]
    assert (line.verdict, "compute.identity" in line.do) == (FAIL, True)


def test_the_quota_is_reported_row_by_row(examined: Examined, let_fail: LetFail) -> None:
    found = examined(only="quota")["quota"]
    assert verdicts(found) == [PASS] * 4
    many = ("compute.nodes=60000", "compute.max_nodes=60000")
    found = examined(*many, only="quota")["quota"]
    assert verdicts(found) == [FAIL, FAIL, PASS, PASS]
    assert "Quota" in found[0].do
    let_fail({"kind": "status", "path": "**/usages", "status": 403, "code": "AuthorizationFailed"})
    (line,) = examined(only="quota")["quota"]
    assert (line.verdict, "usages/read" in line.do) == (WARN, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["compute.create=false"], "does not exist, and compute.create is off"),
        (["compute.size=Standard_DS3_v2"], "cannot be fine-tuned on Standard_DS3_v2"),
    ],
)
def test_a_cluster_that_would_not_do_is_reported(examined: Examined, changes: list[str], said: str) -> None:
    (line,) = examined(*changes, only="cluster")["cluster"]
    assert line.verdict is FAIL
    assert said in line.says


def test_serverless_machines_need_no_cluster(examined: Examined) -> None:
    serverless = ("compute.name=serverless", "compute.identity=")
    for check in ("cluster", "storage", "permissions", "quota"):
        assert set(verdicts(examined(*serverless, only=check)[check])) == {PASS}


def test_a_cluster_that_exists_is_held_against_the_recipe(examined: Examined, ml_client: Any) -> None:
    from azure.ai.ml.entities import AmlCompute, IdentityConfiguration

    name, identity = f"there-{uuid4().hex[:8]}", IdentityConfiguration(type="system_assigned")
    wanted = AmlCompute(name=name, size="Standard_NC4as_T4_v3", identity=identity)
    ml_client.compute.begin_create_or_update(wanted).result()
    try:
        (line,) = examined(f"compute.name={name}", only="cluster")["cluster"]
        assert (line.verdict, name in line.says) == (PASS, True)
        few = ("compute.nodes=9", "compute.max_nodes=9")
        (line,) = examined(f"compute.name={name}", *few, only="cluster")["cluster"]
        assert (line.verdict, "compute.nodes" in line.do) == (FAIL, True)
    finally:
        ml_client.compute.begin_delete(name).result()


def test_an_endpoints_name_is_looked_up(examined: Examined, ml_client: Any) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    what, name = "endpoint name", f"taken-{uuid4().hex[:8]}"
    assert verdicts(examined(f"deploy.endpoint={name}", only=what)[what]) == [PASS]
    ml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name)).result()
    try:
        (line,) = examined(f"deploy.endpoint={name}", only=what)[what]
    finally:
        ml_client.online_endpoints.begin_delete(name).result()
    assert (line.verdict, "deploy.endpoint" in line.do) == (FAIL, True)


def test_data_that_is_not_there_fails(examined: Examined, tmp_path: Path) -> None:
    (line,) = examined(f"data.dataset={tmp_path / 'nothing.jsonl'}", only="data")["data"]
    assert line.verdict is FAIL
    (line,) = examined("data.train.name=no_such_split", only="data")["data"]
    assert (line.verdict, "train_sft" in line.do) == (FAIL, True)


def test_prefects_server_is_asked_and_never_started(
    examined: Examined, prefect_server: PrefectServer
) -> None:
    what = "prefect"
    found = examined(only=what)[what]
    assert (found[0].verdict, "the server answers" in found[0].says) == (PASS, True)
    with temporary_settings({PREFECT_CLOUD_API_URL: f"{prefect_server.url}/api"}):
        (line,) = examined(only=what)[what]
    assert (line.verdict, line.says) == (PASS, "Prefect Cloud answers")  # without a word of SQLite
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        (line,) = examined(only=what)[what]
    assert (line.verdict, "PREFECT_API_URL" in line.do) == (FAIL, True)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert verdicts(examined(only=what)[what]) == [PASS]
        assert verdicts(examined("wait.mode=suspend", only=what)[what]) == [FAIL]
        assert get_current_settings().api.url is None


def test_what_is_not_installed_is_named() -> None:
    wrong = list(machine.unmet(["prefect>=99", "no-such-package>=1", "typer>=0", "x; extra == 'local'"]))
    assert len(wrong) == 2
    assert wrong[0].startswith("prefect is 3.")
    assert wrong[1] == "no-such-package is missing"


def test_a_check_that_crashes_or_hangs_is_a_line_of_its_own(environment: dict[str, str]) -> None:
    released = threading.Event()

    def crashes(look: Look) -> Iterator[Finding]:
        yield passes("so far, so good")
        raise ZeroDivisionError("by zero")

    def hangs(look: Look) -> Iterator[Finding]:
        released.wait()
        yield passes("at last")

    def works(look: Look) -> Iterator[Finding]:
        yield passes("well")

    checks = [Check("crashes", crashes), Check("hangs", hangs), Check("works", works)]
    lines = list(examine(Finetune(), checks, limit=3))
    released.set()
    assert [(line.check, line.verdict) for line in lines] == [
        ("crashes", PASS),
        ("crashes", FAIL),
        ("hangs", FAIL),
        ("works", PASS),
    ]
    assert "by zero" in lines[1].says
    assert "No answer" in lines[2].says
    assert not passed(lines)

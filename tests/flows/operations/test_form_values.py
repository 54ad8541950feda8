"""The form: every field says what it is, and what is wrong is refused before any stage runs."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.utilities.callables import parameter_schema

from flows.finetune import finetune
from flows.operations.form import filled
from flows.run.config import Finetune, load
from tests.support.checkout import ROOT
from tests.support.deployed_runs import DEPLOYMENT, deployment_id, runs_of
from tests.support.prefect_server import PrefectServer

SCHEMA = Finetune.model_json_schema()
OBJECTS = {"Finetune": SCHEMA, **SCHEMA["$defs"]}
FIELDS = [(name, field) for name, found in OBJECTS.items() for field in found.get("properties", ())]


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_every_field_of_the_form_has_a_title_and_a_description(section: str, field: str) -> None:
    found = OBJECTS[section]["properties"][field]
    described = OBJECTS[found["$ref"].rsplit("/", 1)[-1]] if "$ref" in found else {}
    assert found.get("description") or described.get("description")
    title = found.get("title") or described.get("title")
    assert title
    assert not {"Usd", "Ms", "P", "R"} & set(title.split())


def test_the_deployments_schema_is_that_of_the_configuration() -> None:
    schema = parameter_schema(finetune).model_dump()
    assert set(schema["definitions"]) >= {"Finetune", "Workspace", "Training", "Probe", "AzureSignIn"}
    assert schema["definitions"]["AzureSignIn"]["block_type_slug"] == "finetune-azure-sign-in"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("deploy", "instance_count"), 0, "0 is less than the minimum of 1"),
        (("deploy", "instance_cont"), 2, "instance_cont"),
        (("deploy", "keep_endpoint"), "soon", "'soon' does not match"),
        (("data", "train"), {"name": "train_sft", "take": "a few"}, "'a few' does not match"),
        (("parameters", "training"), {"lr_scheduler_type": "quadratic"}, "quadratic"),
        (("parameters", "training"), {"learning_rate": -1}, "-1"),
        (("workspace", "where"), "aws", "'aws' is not one of"),
        (("invoke", "top_p"), 2, "2 is greater than the maximum of 1"),
        (("wait", "budget_usd"), "much", "much"),
    ],
)
def test_the_server_refuses_a_wrong_value(
    deployed: PrefectServer, where: tuple[str, str], value: Any, said: str
) -> None:
    config = load("local").model_dump(mode="json")
    section, field = where
    config[section][field] = value
    before = runs_of(deployed, DEPLOYMENT)
    with deployed.client() as client, pytest.raises(PrefectHTTPStatusError, match="409") as error:
        client.create_flow_run_from_deployment(
            deployment_id(deployed, DEPLOYMENT), parameters={"config": config}
        )
    assert runs_of(deployed, DEPLOYMENT) == before
    assert said in error.value.response.json()["detail"]


@pytest.mark.slow
def test_the_form_as_it_is_filled_in_is_accepted(
    deployed: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    parameters = {"config": filled("local")["config"]}
    with deployed.client() as client:
        run = client.create_flow_run_from_deployment(
            deployment_id(deployed, DEPLOYMENT), parameters=parameters
        )
        client.delete_flow_run(run.id)
    assert Finetune.model_validate(run.parameters["config"]) == load("local")

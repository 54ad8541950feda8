"""The whole flow, end to end, through the real SDKs and with a component that takes a second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.dashboard import comparison
from flows.run.report import RunReport
from flows.terminal.cli import app
from tasks.core.reuse import Reused
from tasks.delete import EndpointEnd
from tests.conftest import BASE, LocalServer, know_the_cloud
from tests.flows.conftest import MakeConfig
from tests.support.checkout import ROOT
from tests.support.prefect_server import PrefectServer
from tests.support.tiny.code.tiny_chat import NOTHING_LEARNT
from tests.support.tiny_recipe import UNSERVED, tiny_config
from tests.support.waiting import until

pytestmark = pytest.mark.slow

# Of no other test's run: equal inputs would adopt each other's jobs.
INPUTS = ("data.train.take=30", "deploy.compare_with_base=true", "evaluation.prompts=8")
# A name of its own: the versions of the default one are promoted by other tests' runs as well.
MODEL = "whole-run"
CLUSTER = ("compute.name=whole-run", "compute.keep=false", f"registration.name={MODEL}")


@pytest.fixture(scope="module")
def first(
    prefect_server: PrefectServer, server: LocalServer, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunReport]:
    """The report of a run that finds nothing made before."""
    from flows.finetune import finetune

    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        know_the_cloud(server.environment["AZUREML_CURRENT_CLOUD"])
        yield finetune(tiny_config(tmp_path_factory.mktemp("data"), *INPUTS, *CLUSTER))


def test_the_report_says_what_was_made(first: RunReport) -> None:
    assert (first.outcome, first.failure, first.reused) == ("completed", None, ())
    assert first.job is not None
    assert first.job.startswith(f"{BASE}-{first.fingerprint}")
    assert first.base_loss is not None
    assert first.eval_loss is not None
    assert first.eval_loss < first.base_loss - 0.3
    assert first.model == MODEL
    assert first.model_version is not None
    assert first.endpoint is not None
    assert first.endpoint.startswith("sample-completion-")
    assert first.deletion is not None
    assert first.deletion.state is EndpointEnd.DELETED
    assert first.training_usd > 0
    assert first.cost_usd == pytest.approx(first.training_usd + first.serving_usd, abs=1e-6)


def test_the_answers_stand_beside_the_truth(first: RunReport) -> None:
    sample = ROOT / "tasks" / "data" / "sample" / "test_sft.jsonl"
    rows = [json.loads(line)["messages"] for line in sample.read_text(encoding="utf-8").splitlines()]
    turns = [(m["content"], n["content"]) for row in rows for m, n in zip(row, row[1:], strict=False)]
    assert (first.prompt, first.ground_truth) in turns
    assert first.base_answer == NOTHING_LEARNT
    assert first.answer not in (None, "", NOTHING_LEARNT)


def test_every_stage_has_its_seconds(first: RunReport) -> None:
    assert set(first.seconds_by_stage) >= {
        *("sign in", "base model", "compute", "data", "parameters", "submit", "train", "metrics"),
        *("register", "endpoint", "deploy", "invoke", "delete"),
    }
    assert all(0 <= seconds <= first.seconds for seconds in first.seconds_by_stage.values())


def test_the_artifacts_are_there(first: RunReport) -> None:
    found = artifacts(first.run)
    assert set(found) >= {
        *("finetune-data", "finetune-parameters", "finetune-plan", "finetune-job", "finetune-progress"),
        *("finetune-evaluation", "finetune-summary", "finetune-run"),
    }
    assert not {"finetune-endpoint", "finetune-deletion"} & set(found), "parts of the card"
    shown = str(found["finetune-summary"])
    assert all(
        text in shown.replace("\n> ", "\n")
        for text in (first.prompt, first.answer, first.ground_truth, str(first.deletion), "ready after")
        if text
    )
    assert "](data:image/png;base64," in shown
    assert json.loads(found["finetune-run"])[0]["job"] == first.job


def test_prefect_knows_what_was_made_of_what(first: RunReport) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events.filters import EventFilter, EventNameFilter, EventRelatedFilter

    mine = EventFilter(
        event=EventNameFilter(prefix=["prefect.asset."]),
        related=EventRelatedFilter(id=[f"prefect.flow-run.{first.run}"]),
    )
    with get_client(sync_client=True) as client:
        until(lambda: len(client.read_events(mine, limit=50).events) == 3)
        found = client.read_events(mine, limit=50).events
    made = {
        each.resource.id: {of.id for of in each.related if of.role == "asset"}
        for each in found
        if each.event == "prefect.asset.materialization.succeeded"
    }
    model = f"azureml://models/{first.model}/versions/{first.model_version}"
    (data,) = made.keys() - {model, f"azureml://onlineEndpoints/{first.endpoint}"}
    assert data.startswith("finetune://data/")
    assert made[data] == set()
    assert made[model] > {data}
    assert made[f"azureml://onlineEndpoints/{first.endpoint}"] == {model}


def test_nothing_is_left(first: RunReport, ml_client: Any, server: LocalServer) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError):
        ml_client.online_endpoints.get(first.endpoint)
    with pytest.raises(ResourceNotFoundError):
        ml_client.compute.get("whole-run")
    rows = server.admin("ledger")["rows"]
    assert [row for row in rows if row["running"] and row["owner"] in (first.endpoint, "whole-run")] == []


def test_the_model_carries_its_lineage(first: RunReport, ml_client: Any) -> None:
    tags = ml_client.models.get(first.model, version=first.model_version).tags
    assert tags["finetune.job"] == first.job
    assert tags["finetune.run"] == first.run
    assert tags["finetune.fingerprint"] == first.fingerprint
    assert f"models/{BASE}/versions/1" in tags["finetune.base-model"]
    assert tags["finetune.component"] == "tiny_chat:1"
    assert tags["finetune.eval-loss"] == f"{first.eval_loss:.4f}"


def test_held_out_questions_are_answered_side_by_side(first: RunReport) -> None:
    assert first.rouge_l is not None
    assert first.base_rouge_l is not None
    assert 0 <= first.base_rouge_l < first.rouge_l <= 1
    assert (first.empty_answers, first.gate, first.gate_reasons) == (0, None, ())
    found = artifacts(first.run)
    page = str(found["finetune-evaluation"])
    assert page.startswith("# Evaluation on 8 held-out conversations")
    assert "tuned − base" in page
    assert NOTHING_LEARNT in page
    kept = json.loads(found["finetune-answers"])
    assert [row["candidate"] for row in kept] == 8 * ["tuned"] + 9 * ["base"]  # the sample's as well


def test_what_answers_is_promoted_where_no_rule_says_otherwise(first: RunReport, ml_client: Any) -> None:
    tags = ml_client.models.get(first.model, version=first.model_version).tags
    assert tags["finetune.gate"] == "passed"
    assert tags["finetune.promoted"]
    assert float(tags["finetune.rouge-l"]) == pytest.approx(first.rouge_l, abs=1e-4)


def test_a_model_that_misses_a_rule_is_a_candidate_and_not_deployed(
    first: RunReport, config: MakeConfig, ml_client: Any
) -> None:
    from flows.finetune import finetune

    rules = ("eval_loss <= base * 0.01", "eval_loss <= incumbent", "empty_answers == 0")
    gate = f"gate.rules={json.dumps(rules)}"
    state = finetune(config(*INPUTS, *CLUSTER, gate), return_state=True)
    report = state.result()
    assert (state.name, state.is_completed()) == ("Not passed", True)
    assert (report.outcome, report.gate, report.endpoint) == ("completed", "not passed", None)
    assert report.job == first.job
    (reason,) = report.gate_reasons
    assert reason.startswith("eval_loss <= base * 0.01: broken (")
    tags = ml_client.models.get(report.model, version=report.model_version).tags
    assert (tags["finetune.gate"], tags["finetune.gate-reasons"]) == ("candidate", reason)
    failed = finetune(config(*INPUTS, *CLUSTER, gate, "gate.otherwise=fail"), return_state=True)
    assert failed.is_failed()
    assert "gate.rules" in (failed.message or "")


def test_the_next_model_is_held_against_the_promoted_one(
    first: RunReport, config: MakeConfig, ml_client: Any
) -> None:
    """Another job of the same name; the incumbent's answers are those of its own evaluation."""
    from flows.finetune import finetune

    rule = 'gate.rules=["eval_loss <= incumbent * 100", "rouge_l >= 0"]'
    report = finetune(config(*INPUTS, "data.train.take=31", *CLUSTER, rule))
    # The base model was compared with the incumbent, and need not be deployed beside each later model again.
    assert report.reused == (Reused(kind="answers", name=f"{BASE}:1", run=first.run),)
    assert (report.incumbent, report.gate) == (f"{first.model}:{first.model_version}", "passed")
    page = str(artifacts(report.run)["finetune-evaluation"])
    assert "tuned − incumbent" in page
    assert "tuned − base" in page
    assert [row["outcome"] for row in json.loads(artifacts(report.run)["finetune-gate"])] == ["kept", "kept"]
    said = CliRunner().invoke(app, ["models", str(first.model), "--json"])
    rows = {row["model"]: row for row in json.loads(said.stdout)}
    newest, before = (f"{first.model}:{each}" for each in (report.model_version, first.model_version))
    assert rows[newest]["promoted"] >= rows[before]["promoted"] > ""
    assert rows[newest]["job"] == report.job
    assert rows[newest]["serves"] == ""
    compared = CliRunner().invoke(app, ["compare", first.run, report.run[:-4], "--json"])
    differ = json.loads(compared.stdout)["differ"]
    assert differ["data.train.take"] == ["30", "31"]
    assert differ["job"] == [first.job, report.job]
    assert differ["eval_loss"] == [first.eval_loss, report.eval_loss]
    assert "base.name" not in differ
    table = comparison.frame([first.run, report.run])
    assert list(table["data.train.take"]) == ["30", "31"]
    assert list(table["rouge_l"]) == [first.rouge_l, report.rouge_l]
    unknown = CliRunner().invoke(app, ["compare", first.run, "no-such-run"])
    assert (unknown.exit_code, "finetune history" in unknown.stderr) == (1, True)


def test_a_second_run_adopts_what_the_first_made(
    first: RunReport, config: MakeConfig, ml_client: Any
) -> None:
    from azure.ai.ml.entities import AmlCompute, IdentityConfiguration

    from flows.finetune import finetune

    # Somebody's own cluster this time: it is used and left alone.
    ml_client.compute.begin_create_or_update(
        AmlCompute(
            name="whole-run",
            size="Standard_NC4as_T4_v3",
            max_instances=1,
            identity=IdentityConfiguration(type="system_assigned"),
        )
    ).result()
    second = finetune(config(*INPUTS, *CLUSTER))
    assert ml_client.compute.get("whole-run").name == "whole-run"
    ml_client.compute.begin_delete("whole-run").result()
    assert (second.job, second.model, second.model_version) == (first.job, first.model, first.model_version)
    assert second.reused == (
        Reused(kind="job", name=first.job or "", run=first.run),
        Reused(kind="model", name=f"{first.model}:{first.model_version}", run=first.run),
        Reused(kind="answers", name=f"{BASE}:1", run=first.run),
    )
    assert second.base_answer == first.base_answer
    assert second.base_rouge_l == first.base_rouge_l
    deployed = str(artifacts(second.run)["finetune-summary"])
    assert "`base`" not in deployed  # it had no deployment
    assert second.training_usd == 0
    assert second.eval_loss == first.eval_loss
    assert second.deletion is not None
    assert second.deletion.state is EndpointEnd.DELETED


def test_fresh_trains_again(first: RunReport, config: MakeConfig) -> None:
    from flows.finetune import finetune

    third = finetune(config(*INPUTS, f"registration.name={MODEL}", "fresh=true", UNSERVED))
    assert third.fingerprint == first.fingerprint
    assert third.job != first.job
    assert third.reused == ()
    assert third.model == first.model
    assert third.model_version != first.model_version


def test_without_a_cluster_the_job_brings_its_machines_along(
    prefect_server: PrefectServer, config: MakeConfig, ml_client: Any, server: LocalServer
) -> None:
    from flows.finetune import finetune

    before = {each.name for each in ml_client.compute.list()}
    size = "Standard_NC24ads_A100_v4"
    machines = ("compute.name=serverless", f"compute.size={size}", "compute.identity=null")
    report = finetune(config(*machines, "fresh=true", UNSERVED))  # not the job of another test
    assert (report.outcome, report.model) == ("completed", f"{BASE}-sample")
    assert {each.name for each in ml_client.compute.list()} == before
    billed = [row for row in server.admin("ledger")["rows"] if row["name"] == "serverless"]
    assert {row["vmSize"] for row in billed} == {size}
    assert not any(row["running"] for row in billed)
    assert report.training_usd > 0


def artifacts(run: str) -> dict[str, Any]:
    """The artifacts of a flow run by their keys."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        return {str(each.key): each.data for each in client.read_artifacts(artifact_filter=of_run)}

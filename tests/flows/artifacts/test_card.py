"""The card of a run: what stands in it, in which order, and that pictures and answers stay what they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows.artifacts import card
from flows.artifacts import run as artifacts
from flows.run.config import load
from flows.run.context import Run
from flows.run.report import RunReport
from tasks.azure.failure import Cause, Failure
from tasks.metrics import Metrics
from tests.support.prefect_server import PrefectServer

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
REPORT: dict[str, Any] = {
    "run": "r",
    "recipe": "local",
    "trigger": "schedule",
    "started": NOW,
    "ended": NOW + timedelta(seconds=90),
    "base_model": "m:1",
    "seconds": 90,
    "seconds_by_stage": {"train": 60.0, "deploy": 8.25},
    "training_usd": 1.25,
    "serving_usd": 0.5,
    "cost_usd": 1.75,
}
PROVED: dict[str, Any] = {
    "outcome": "completed",
    "job": "m-0123",
    "fingerprint": "0123",
    "studio_url": "https://ml.azure.com/runs/m-0123",
    "base_loss": 4,
    "eval_loss": 3,
    "model": "chat",
    "model_version": "3",
    "endpoint": "e",
    "deletion": {"endpoint": "e", "state": "deleted", "at": NOW},
}


@pytest.fixture
def run() -> Run:
    made = Run(load("local"), id="r", trigger="ad hoc")
    made.metrics = Metrics(final={"eval_loss": 3.0}, loss=((1, 4.0), (2, 3.5)), held_out=((0, 4.0), (2, 3.0)))
    return made


def test_it_is_read_from_top_to_bottom(run: Run) -> None:
    page = card.page(RunReport(**REPORT, **PROVED), run, "> a question", "import mlflow", "`e` is gone")
    parts = [
        "# local: completed",
        "**Proved, endpoint deleted (404 at 2026-01-05T06:00:00+00:00): chat:3 answers",
        "$1.75 (training $1.25, serving $0.5",
        "| held-out loss | 4.000 → 3.000 |",
        "![Loss over the steps](loss)",
        "> a question",
        "[`m-0123`](https://ml.azure.com/runs/m-0123)",
        "`chat:3`",
        "## The endpoint\n\n`e` is gone",
        'client.models.download("chat", version="3")',
        "<details><summary>How long each stage took</summary>",
        "| deploy | 8.2 |",
        "<details><summary>The metrics</summary>",
        "<details><summary>The job's run in MLflow</summary>",
    ]
    places = [page.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


def test_what_there_is_nothing_of_takes_no_room() -> None:
    failed = Run(load("local"), id="r", trigger="ad hoc")
    failed.failure = Failure("No quota.", "Ask for it.", "QuotaExceeded", cause=Cause.QUOTA)
    report = RunReport(
        **REPORT, outcome="failed", failed_stage="train", failure="No quota.", cause=Cause.QUOTA
    )
    page = card.page(report, failed, "", "", "")
    assert "## Failure\n\nNo quota. Ask for it." in page
    assert "QuotaExceeded" in page
    for absent in ("## Before", "## The conversation", "## How to use it", "MLflow", "![", "None"):
        assert absent not in page
    assert card.pictures(failed) == {}


@pytest.mark.slow
def test_prefect_has_one_card_with_its_picture_in_it(run: Run, prefect_server: PrefectServer) -> None:
    @flow(name="card")
    def publish() -> str:
        artifacts.publish_report(RunReport(**REPORT, **PROVED), run)
        return str(flow_run.id)

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[publish()]))
    with get_client(sync_client=True) as client:
        found = {each.key: str(each.data) for each in client.read_artifacts(artifact_filter=of_run)}
    assert found.keys() == {"finetune-run", "finetune-summary"}
    assert "![Loss over the steps](data:image/png;base64," in found["finetune-summary"]

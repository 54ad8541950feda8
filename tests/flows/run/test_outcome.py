"""How runs read in a list: names, tags, and the message of the state in which each has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from flows.run.outcome import outcome
from flows.run.report import RunReport
from tests.flows.conftest import MakeConfig
from tests.support.prefect_server import PrefectServer

NOW = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
DONE: dict[str, Any] = {"outcome": "completed", "model": "chat", "model_version": "3"}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {
                **DONE,
                "deletion": {"state": "deleted"},
                "eval_loss": 1.25,
                "base_loss": 2,
            },
            "Proved, endpoint deleted (404 at 2026-01-05T06:00:00+00:00): chat:3 answers, "
            "held-out loss 2.000 → 1.250",
        ),
        (
            {
                **DONE,
                "deletion": {"state": "kept", "until": "2026-01-05T10:00:00Z"},
                "reused": ({"kind": "job", "name": "a", "run": "b"},),
            },
            "Proved, endpoint kept until 2026-01-05T10:00:00+00:00: chat:3 answers; reused job a of run b",
        ),
        ({**DONE, "deletion": {"state": "kept"}}, "Proved, endpoint kept for ever: chat:3 answers"),
        (
            {**DONE, "deletion": {"state": "released", "owner": "c"}},
            "Proved, endpoint not deleted: now owned by flow run c: chat:3 answers",
        ),
        (
            {"outcome": "failed", "failed_stage": "deploy", "failure": "No quota."},
            "Failed at deploy: No quota.",
        ),
        (
            {"outcome": "failed", "failed_stage": "train", "failure": "$1 is spent.", "cause": "budget"},
            "Budget reached at train: $1 is spent.",
        ),
        (
            {"outcome": "cancelled", "failure": "no job was submitted; $0.00 spent."},
            "Cancelled at the start: no job was submitted; $0.00 spent.",
        ),
    ],
)
def test_the_outcome_is_one_line(fields: dict[str, Any], line: str) -> None:
    if "deletion" in fields:
        fields = {**fields, "deletion": {"endpoint": "e", "at": NOW, **fields["deletion"]}}
    report = RunReport(
        run="r", recipe="local", trigger="ad hoc", started=NOW, ended=NOW, base_model="m", seconds=1,
        seconds_by_stage={}, **fields,
    )  # fmt: skip
    assert outcome(report) == line


@pytest.mark.slow
def test_a_run_is_listed_by_its_recipe_and_the_tags_of_a_deployments_run(
    prefect_server: PrefectServer, config: MakeConfig
) -> None:
    from flows.finetune import finetune

    before = datetime.now(UTC)
    report = finetune(config())
    run = read(prefect_server, report.run)
    # It is named before it starts, perhaps in another minute.
    minutes = range((report.started - before) // timedelta(minutes=1) + 2)
    assert run.name in [f"tiny {before + timedelta(minutes=each):%d %b %H:%M}" for each in minutes]
    assert set(run.tags) == {"finetune", "local", "recipe: tiny", "model: tiny-chat-base"}
    assert run.state is not None
    assert run.state.name == "Completed"
    assert run.state.message == outcome(report)
    assert (run.state.message or "").startswith("Proved, endpoint deleted (404 at ")


@pytest.mark.slow
def test_a_budget_that_is_reached_is_the_states_message(
    prefect_server: PrefectServer, config: MakeConfig
) -> None:
    from flows.finetune import finetune

    lasting = "parameters.more.seconds=1800"  # no job that is over before anybody looks
    state = finetune(config("wait.budget_usd=1.0e-9", lasting), return_state=True)
    assert state.is_failed()
    assert (state.message or "").startswith("Budget reached at train: The budget of $1e-09 is spent")
    assert state.state_details.flow_run_id is not None
    run = read(prefect_server, str(state.state_details.flow_run_id))
    assert run.state is not None
    assert run.state.message == state.message


def read(server: PrefectServer, run: str) -> FlowRun:
    from uuid import UUID

    with server.client() as client:
        return client.read_flow_run(UUID(run))

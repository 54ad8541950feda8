"""The page about evaluation shows tables as the program prints them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.dashboard.comparison import Compared
from flows.dashboard.difference import differing
from flows.run.report import RunReport
from flows.terminal import compare, models
from tasks.promotion import Version
from tests.docs.documents import named

REGISTRY = "azureml://registries/azureml/models/SmolLM2-135M-Instruct/versions/2"
WORKSPACE = "/subscriptions/0/resourceGroups/local/providers/x/workspaces/local"
FIRST, SECOND = "4f1c2a90-8a51-4c39-9c5e-0f5be1a1f3d2", "9b07d3e4-1f6d-47a8-b1d5-6a4f8e0c2b71"


def version(number: int, job: str, run: str, loss: str, rouge: str, **tags: str) -> Version:
    found = {
        "finetune.base-model": REGISTRY,
        "finetune.data": "sample",
        "finetune.job": job,
        "finetune.run": run,
        "finetune.eval-loss": loss,
        "finetune.rouge-l": rouge,
        **{f"finetune.{name.replace('_', '-')}": value for name, value in tags.items()},
    }
    name = "SmolLM2-135M-Instruct-sample"
    return Version(
        id=f"{WORKSPACE}/models/{name}/versions/{number}",
        name=name,
        version=str(number),
        created=None,
        tags=found,
    )


def shown(name: str) -> str:
    """What the page has below its command."""
    return named(name).text.partition("\n")[2].strip()


def printed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def test_the_versions_are_listed_as_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    second = version(
        2,
        "smollm2-135m-instruct-5d2f90c1aa04",
        SECOND,
        "3.4410",
        "0.1180",
        gate="candidate",
        gate_reasons="eval_loss <= incumbent: broken (3.441 beside 3.378)",
    )
    first = version(
        1,
        "smollm2-135m-instruct-b0350eb948b6",
        FIRST,
        "3.3780",
        "0.1200",
        gate="passed",
        promoted="2026-11-26T17:50:40+00:00",
    )
    serving = [("support/demo-1", f"{WORKSPACE}/models/{first.name}/versions/1")]
    models.show([models.row(each, serving) for each in (second, first)])
    assert printed(capsys.readouterr().out) == shown("models-listed")


def test_runs_are_compared_as_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    made = {
        FIRST: ({"parameters.training.learning_rate": None, "data.train.take": "50%"}, 3.378, 0.12, 0.0266),
        SECOND: ({"parameters.training.learning_rate": 2e-3, "data.train.take": "50%"}, 3.441, 0.118, 0.0271),
    }
    found = [
        Compared(run=run, name=run, settings=settings, report=of_run(run, loss, rouge, cost))
        for run, (settings, loss, rouge, cost) in made.items()
    ]
    compare.show([each.run for each in found], differing([each.row for each in found]))
    assert printed(capsys.readouterr().out) == shown("compared")


def of_run(run: str, loss: float, rouge: float, cost: float) -> RunReport:
    at = datetime(2026, 11, 26, 17, 50, tzinfo=UTC)
    return RunReport(
        run=run,
        recipe="local",
        trigger="ad hoc",
        started=at,
        ended=at,
        outcome="completed",
        base_model="SmolLM2-135M-Instruct:2",
        base_loss=4.025,
        eval_loss=loss,
        rouge_l=rouge,
        cost_usd=cost,
        seconds=61.0,
        seconds_by_stage={},
    )

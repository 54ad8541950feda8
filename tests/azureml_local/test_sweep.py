"""Sweep jobs: trials by grid and at random, policies that end some early, the best one and its outputs."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from azureml_local.errors import BadRequest
from azureml_local.execution import early_termination, search_space, sweep_job
from azureml_local.execution.command import render
from tests.conftest import LocalServer
from tests.support.waiting import until

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
TERMINAL = {"Completed", "Failed", "Canceled"}
# Logs the metric by MLflow's REST, as MLflow's client does: its import would take each trial two seconds.
LOG = """
import json, os, ssl, sys, urllib.request
value = float(sys.argv[1])
uri = os.environ["MLFLOW_TRACKING_URI"].replace("azureml://", "https://")
body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "accuracy", "value": value, "timestamp": 1, "step": 0}
request = urllib.request.Request(
    uri + "/api/2.0/mlflow/runs/log-metric",
    json.dumps(body).encode(),
    {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"},
)
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
urllib.request.build_opener(*handlers).open(request, timeout=100)
"""


def sweep(client: Any, command: str, code: Path | None = None, **options: Any) -> Any:
    from azure.ai.ml import Output
    from azure.ai.ml import command as build
    from azure.ai.ml.sweep import Choice

    trial = build(
        command=command,
        code=code,
        environment=ENVIRONMENT,
        inputs={"x": 1, "y": 1},
        outputs={"model": Output(type="uri_folder")},
    )
    job = trial(x=Choice(options.pop("values", [1, 3, 2])), y=Choice([10])).sweep(
        sampling_algorithm=options.pop("sampling", "grid"), primary_metric="accuracy", goal="maximize"
    )
    job.experiment_name = "sweeps"
    job.set_limits(**{"max_concurrent_trials": 3, **options.pop("limits", {})})
    for name, value in options.items():
        setattr(job, name, value)
    return client.jobs.create_or_update(job)


def ended(client: Any, name: str) -> Any:
    return until(lambda: job if (job := client.jobs.get(name)).status in TERMINAL else None)


def trials(client: Any, name: str) -> dict[str, str]:
    """The states of a sweep's trials, by name."""
    return {run.name: run.status for run in client.jobs.list(parent_job_name=name)}


@pytest.mark.slow
def test_the_best_trials_output_is_the_sweeps(ml_client: Any, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "log.py").write_text(LOG, encoding="utf-8")
    command = "echo ${{inputs.x}} > ${{outputs.model}}/x.txt; python log.py ${{inputs.x}}"
    submitted = sweep(ml_client, command, code)
    assert submitted.status == "Running"
    assert list(submitted.services) == ["Studio"]
    done = ended(ml_client, submitted.name)
    assert done.status == "Completed"
    best = done.properties["best_child_run_id"]
    assert (best, done.properties["score"], done.properties["space_size"]) == (f"{done.name}_1", "3.0", "3")
    assert trials(ml_client, done.name) == {f"{done.name}_{number}": "Completed" for number in range(3)}
    ml_client.jobs.download(done.name, download_path=tmp_path / "got", output_name="model")
    assert [file.read_text() for file in (tmp_path / "got").rglob("x.txt")] == ["3\n"]


def test_a_sweep_without_a_trial_that_completes_fails(ml_client: Any) -> None:
    done = ended(ml_client, sweep(ml_client, "exit ${{inputs.x}}").name)
    assert done.status == "Failed"


def test_a_cancelled_sweep_ends_with_its_trials(ml_client: Any) -> None:
    submitted = sweep(ml_client, "sleep 600", limits={"max_concurrent_trials": 1, "max_total_trials": 2})
    until(
        lambda: [
            run for run in ml_client.jobs.list(parent_job_name=submitted.name) if run.status == "Running"
        ]
    )
    ml_client.jobs.begin_cancel(submitted.name).result()
    assert ended(ml_client, submitted.name).status == "Canceled"
    assert trials(ml_client, submitted.name) == {f"{submitted.name}_0": "Canceled"}


def test_a_sweep_has_no_more_time_than_its_limit(ml_client: Any, server: LocalServer) -> None:
    submitted = sweep(ml_client, "sleep 600", limits={"timeout": 60})
    until(
        lambda: [
            run for run in ml_client.jobs.list(parent_job_name=submitted.name) if run.status == "Running"
        ]
    )
    server.admin("clock", {"seconds": 61})
    assert ended(ml_client, submitted.name).status == "Canceled"


def test_bayesian_sampling_is_refused(ml_client: Any) -> None:
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError, match="Bayesian sampling is not done here"):
        sweep(ml_client, "true", sampling="bayesian")


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        (["uniform", [2, 4]], 2, 4),
        (["quniform", [2, 4, 0.5]], 2, 4),
        (["loguniform", [-2, 0]], math.exp(-2), 1),
        (["qloguniform", [0, 2, 1]], 1, 7),
        (["normal", [5, 0.001]], 4.9, 5.1),
        (["qnormal", [5, 0.001, 1]], 5, 5),
        (["lognormal", [0, 0.001]], 0.99, 1.01),
        (["qlognormal", [0, 0.001, 1]], 1, 1),
        (["randint", [3]], 0, 2),
        (["choice", [[7, 8]]], 7, 8),
    ],
)
def test_a_distribution_gives_what_it_says(given: Any, low: float, high: float) -> None:
    space = search_space.read({"x": given})
    for values in (*islice(space.random(1), 50), *space.sobol(1, 50)):
        assert low <= float(values["x"]) <= high
    assert list(islice(space.random("a"), 5)) == list(islice(space.random("a"), 5))


@pytest.mark.parametrize(
    "given",
    [{}, {"x": ["uniform", [1]]}, {"x": ["choice", [[]]]}, {"x": "1"}, {"x": ["choice", [[{"a": 1}]]]}, None],
)
def test_a_search_space_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(BadRequest):
        search_space.read(given)


def test_a_grid_has_every_combination_once() -> None:
    space = search_space.read({"x": ["choice", [[1, 2]]], "y": ["choice", [["a", "b", "c"]]]})
    assert len({tuple(values.items()) for values in space.grid()}) == space.size == 6
    with pytest.raises(BadRequest, match="choice alone"):
        next(search_space.read({"x": ["uniform", [1, 2]]}).grid())


@pytest.mark.parametrize(
    ("policy", "history", "ends"),
    [
        # The example of the documentation: the best has 0.8, and slack 0.2 allows 0.66.
        ({"policyType": "Bandit", "slackFactor": 0.2}, [0.65], True),
        ({"policyType": "Bandit", "slackFactor": 0.2}, [0.67], False),
        ({"policyType": "Bandit", "slackAmount": 0.1}, [0.69], True),
        ({"policyType": "Bandit", "slackAmount": 0.1, "delayEvaluation": 2}, [0.69], False),
        ({"policyType": "Bandit", "slackAmount": 0.1, "evaluationInterval": 2}, [0.69, 0.69, 0.69], True),
        ({"policyType": "MedianStopping"}, [0.59], True),
        ({"policyType": "MedianStopping"}, [0.61], False),
        ({"policyType": "TruncationSelection", "truncationPercentage": 30}, [0.1], True),
        ({"policyType": "TruncationSelection", "truncationPercentage": 20}, [0.1], False),
    ],
)
def test_a_policy_ends_what_is_worse_than_it_allows(policy: Any, history: list[float], ends: bool) -> None:
    read = early_termination.read(policy)
    assert read is not None
    histories = {"best": [0.8, 0.8, 0.8], "middle": [0.6], "low": [0.2], "this": history}
    judged = range(1, len(history) + 1)
    assert any(read.applies_at(each) and read.ends("this", each, histories) for each in judged) is ends


@pytest.mark.parametrize(
    "given",
    [
        {"policyType": "Bandit"},
        {"policyType": "TruncationSelection"},
        {"policyType": "Another"},
        {"policyType": "MedianStopping", "delayEvaluation": -1},
        [],
    ],
)
def test_a_policy_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(BadRequest):
        early_termination.read(given)


def test_a_value_that_the_space_lacks_is_taken_and_fails_the_trials() -> None:
    read = sweep_job.read(
        {
            "samplingAlgorithm": {"samplingAlgorithmType": "random"},
            "objective": {"goal": "minimize", "primaryMetric": "loss"},
            "searchSpace": {"lr": ["uniform", [0, 1]]},
            "trial": {"command": "train --lr ${{search_space.lr}} --rate ${{search_space.rate}}"},
        }
    )
    assert read.trial.command == "train --lr ${{inputs.lr}} --rate ${{search_space.rate}}"
    with pytest.raises(BadRequest, match="search_space.rate}}, which has no value"):
        render(read.trial.command, {"lr": "0.5"}, {})


@pytest.mark.slow
def test_a_trial_that_lags_behind_is_cancelled(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.sweep import BanditPolicy

    code = tmp_path / "code"
    code.mkdir()
    (code / "log.py").write_text(LOG, encoding="utf-8")
    submitted = sweep(
        ml_client,
        "python log.py ${{inputs.x}}; test ${{inputs.x}} = 3 || sleep 600",
        code,
        values=[3, 1],
        limits={"max_concurrent_trials": 1},  # the best one has logged before the other begins
        early_termination=BanditPolicy(slack_amount=0.5, evaluation_interval=1),
    )
    done = ended(ml_client, submitted.name)
    assert done.status == "Completed"
    assert trials(ml_client, done.name) == {f"{done.name}_0": "Completed", f"{done.name}_1": "Canceled"}

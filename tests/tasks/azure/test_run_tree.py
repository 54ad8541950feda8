"""The steps of a job are found whatever lies between: nested as on Azure, flat, or not there yet."""

from __future__ import annotations

from typing import Any

import pytest
from azure.ai.ml._restclient.runhistory.models import Compute, Run

from tasks.azure.run_history import leaves


def run(id: str, type: str, status: str = "Running", **properties: str) -> Run:
    return Run(run_id=id, run_type=type, status=status, properties=properties)


NODE = run("node", "azureml.StepRun", StepType="SubGraphCloudStep")
INNER = run("inner", "azureml.PipelineRun", runSource="SubGraphCloud")
STEPS = [run(name, "azureml.StepRun", "NotStarted", StepType="PythonScriptStep") for name in ("a", "b")]


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        pytest.param({"job": STEPS}, ["a", "b"], id="a job that is the component, or its steps"),
        pytest.param({"job": [NODE], "node": [INNER], "inner": STEPS}, ["a", "b"], id="a pipeline component"),
        pytest.param(
            {
                "job": [NODE, STEPS[0]],
                "node": [INNER],
                "inner": [run("node2", "azureml.StepRun", StepType="SubGraphCloudStep"), STEPS[1]],
                "node2": [run("inner2", "azureml.PipelineRun", runSource="SubGraphCloud")],
                "inner2": [run("c", "azureml.StepRun")],
            },
            ["c", "b", "a"],
            id="a component in a component, beside steps",
        ),
        pytest.param({"job": [NODE]}, [], id="nothing has begun below the node"),
        pytest.param({"job": [NODE], "node": [INNER]}, [], id="nor below the pipeline"),
        pytest.param(
            {"job": [run("node", "azureml.StepRun", "Failed", StepType="SubGraphCloudStep")]},
            ["node"],
            id="the node failed before there was a step",
        ),
    ],
)
def test_the_steps_are_the_runs_that_do_something(tree: dict[str, list[Any]], found: list[str]) -> None:
    assert [each.run_id for each in leaves("job", lambda id: tree.get(id, []))] == found


def test_a_tree_that_holds_itself_ends() -> None:
    assert list(leaves("node", lambda id: [NODE])) == [NODE]


def test_compute_of_a_run_is_what_the_service_says() -> None:
    from tasks.azure import run_history

    made = run_history._step(Run(run_id="s", compute=Compute(target="c", instance_count=4)))
    assert (made.cluster, made.nodes) == ("c", 4)

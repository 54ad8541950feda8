"""Graphs: bindings followed, defaults taken, values checked, nested pipelines taken apart."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.errors import BadRequest
from azureml_local.execution.binding import of_command, of_pipeline
from azureml_local.execution.component import Component, ports
from azureml_local.execution.fingerprint import fingerprints
from azureml_local.execution.graph import Asset, Graph, Literal, Output, StepOutput, Target
from azureml_local.execution.nodes import command_job, pipeline_job


def component(name: str, type_: str = "command", **spec: Any) -> Component:
    return Component(
        id=name,
        name=name,
        version="1",
        type=type_,
        inputs=ports(spec.get("inputs")),
        outputs=ports(spec.get("outputs")),
        command=spec.get("command", "true"),
        jobs=spec.get("jobs", {}),
    )


TRAIN = component(
    "train",
    inputs={
        "data": {"type": "uri_file"},
        "epochs": {"type": "integer", "default": 1, "min": "1", "optional": True},
        "precision": {"type": "string", "enum": ["16", "32"], "default": "32", "optional": True},
        "note": {"type": "string", "optional": True},
    },
    outputs={"model": {"type": "uri_folder"}},
)
SCORE = component("score", inputs={"model": {"type": "uri_folder"}}, outputs={"report": {"type": "uri_file"}})
NESTED = component(
    "nested",
    "pipeline",
    inputs={
        "data": {"type": "uri_file", "optional": True},
        "epochs": {"type": "integer", "default": "3", "optional": True},
        "note": {"type": "string", "optional": True},
        "compute_train": {"type": "string", "default": "serverless", "optional": True},
    },
    outputs={"best": {"type": "uri_folder"}},
    jobs={
        "fit": {
            "type": "command",
            "component": "train",
            "compute": "${{parent.inputs.compute_train}}",
            "inputs": {
                "data": "${{parent.inputs.data}}",
                "epochs": "${{parent.inputs.epochs}}",
                "note": "${{parent.inputs.note}}",
            },
            "outputs": {"model": "${{parent.outputs.best}}"},
        }
    },
)
COMPONENTS = {c.name: c for c in (TRAIN, SCORE, NESTED)}


def literal(value: str) -> dict[str, str]:
    return {"job_input_type": "literal", "value": value}


DATA = {"jobInputType": "uri_file", "uri": "azureml://datastores/workspaceblobstore/paths/x.jsonl"}


def pipeline(jobs: dict[str, Any], **properties: Any) -> Graph:
    job = pipeline_job({"jobType": "Pipeline", "jobs": jobs, **properties})
    return of_pipeline(job, COMPONENTS.__getitem__)


def test_nested_pipeline_becomes_its_steps() -> None:
    found = pipeline(
        {
            "report": {
                "componentId": "score",
                "inputs": {"model": literal("${{parent.jobs.tune.outputs.best}}")},
            },
            "tune": {
                "componentId": "nested",
                "inputs": {"data": literal("${{parent.inputs.data}}"), "compute_train": literal("gpu")},
                "outputs": {"best": {"type": "literal", "value": "${{parent.outputs.trained}}"}},
            },
        },
        inputs={"data": DATA},
        outputs={"trained": {"jobOutputType": "uri_folder"}},
        settings={"default_compute": "cpu"},
    )
    fit, report = found.steps
    assert (fit.path, fit.name, fit.compute) == ("tune/fit", "fit", Target("gpu"))
    assert fit.inputs == {
        "data": Asset(DATA["uri"], "uri_file"),
        "epochs": Literal("3"),
        "precision": Literal("32"),
    }
    assert report.inputs == {"model": StepOutput("tune/fit", "model")}
    assert report.compute == Target("cpu")
    assert list(report.needs) == ["tune/fit"]
    assert found.outputs == {"trained": StepOutput("tune/fit", "model")}


def test_outputs_go_where_the_job_or_the_step_says() -> None:
    def outputs(**outputs: Any) -> dict[str, Output]:
        fit = {"componentId": "train", "inputs": {"data": DATA}, "outputs": {"model": outputs.pop("fit")}}
        return dict(pipeline({"fit": fit}, outputs=outputs).steps[0].outputs)

    bound = literal("${{parent.outputs.trained}}")
    named = {"job_output_type": "uri_folder", "name": "tuned", "version": "7"}
    placed = {"jobOutputType": "uri_folder", "uri": "azureml://datastores/d/paths/p", "assetName": "best"}
    assert outputs(fit=named) == {"model": Output("uri_folder", None, ("tuned", "7"))}
    assert outputs(fit=bound, trained=placed) == {
        "model": Output("uri_folder", "azureml://datastores/d/paths/p", ("best", None))
    }
    with pytest.raises(BadRequest, match="no output 'models' of a step 'fit'"):
        pipeline({"fit": {"componentId": "train", "inputs": {"data": DATA}, "outputs": {"models": named}}})


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, "needs a value for its input 'data'"),
        ({"data": DATA, "epochs": literal("0")}, "'epochs' must be at least 1"),
        ({"data": DATA, "epochs": literal("1.5")}, "'epochs' must be of type integer"),
        ({"data": DATA, "epochs": literal("nan")}, "'epochs' must be of type integer"),
        ({"data": DATA, "precision": literal("8")}, "'precision' must be one of 16, 32"),
        ({"data": DATA, "rate": literal("1")}, "has no input 'rate'"),
        ({"data": DATA, "note": DATA}, "'note' takes a string, not data"),
    ],
)
def test_a_bad_input_is_named(inputs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        pipeline({"fit": {"componentId": "train", "inputs": inputs}})
    assert complaint in caught.value.message
    assert "Step 'fit'" in caught.value.message
    assert len(caught.value.details) == 1


def test_all_objections_come_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        pipeline({"a": {"componentId": "train"}, "b": {"componentId": "score"}})
    assert len(caught.value.details) == 2


def test_steps_that_wait_for_each_other() -> None:
    def after(other: str) -> dict[str, Any]:
        binding = literal(f"${{{{parent.jobs.{other}.outputs.model}}}}")
        return {"componentId": "train", "inputs": {"data": binding}}

    with pytest.raises(BadRequest, match="wait for each other"):
        pipeline({"a": after("b"), "b": after("a")})


def test_binding_to_no_output() -> None:
    binding = literal("${{parent.jobs.fit.outputs.models}}")
    with pytest.raises(BadRequest, match="no output 'models' of a step 'fit'"):
        pipeline(
            {
                "fit": {"componentId": "train", "inputs": {"data": DATA}},
                "report": {"componentId": "score", "inputs": {"model": binding}},
            }
        )


@pytest.mark.parametrize("compute", [None, "serverless", "azureml:Serverless"])
def test_without_a_cluster_a_step_has_machines_of_the_size_it_names(compute: str | None) -> None:
    asked = {"command": "true", "computeId": compute, "resources": {"instanceType": "Standard_NC6s_v3"}}
    (step,) = of_command(command_job(asked), None).steps
    assert step.compute == Target(vm_size="Standard_NC6s_v3")
    (step,) = of_command(command_job({"command": "true", "computeId": compute}), None).steps
    assert step.compute == Target()


def test_command_job_is_one_step() -> None:
    job = command_job(
        {
            "command": "echo ${{inputs.x}}",
            "computeId": "/subscriptions/s/computes/cpu",
            "inputs": {"x": {"jobInputType": "literal", "value": "1"}},
            "outputs": {"o": {"jobOutputType": "uri_file"}, "default": {"jobOutputType": "uri_folder"}},
            "limits": {"jobLimitsType": "Command", "timeout": "PT1M30S"},
            "resources": {"instanceCount": 2},
        },
    )
    found = of_command(job, None)
    (step,) = found.steps
    assert (step.compute, step.timeout, step.instance_count) == (Target("cpu"), 90.0, 2)
    assert step.inputs == {"x": Literal("1")}
    assert list(step.outputs) == ["o"]


def test_fingerprint_follows_values_through_the_graph() -> None:
    def both(epochs: str) -> dict[str, str]:
        return fingerprints(
            pipeline(
                {
                    "fit": {"componentId": "train", "inputs": {"data": DATA, "epochs": literal(epochs)}},
                    "report": {
                        "componentId": "score",
                        "inputs": {"model": literal("${{parent.jobs.fit.outputs.model}}")},
                    },
                }
            )
        )

    assert both("2") == both("2")
    assert both("2")["report"] != both("3")["report"]


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_NAMES = """
inputs outputs jobs componentId settings computeId resources limits timeout uri value path type jobInputType
jobOutputType instanceCount environmentVariables command data model displayName
"""
_keys = st.sampled_from(_NAMES.split())
_json = st.recursive(
    _scalars | st.sampled_from(["train", "nested", "score", "${{parent.jobs.data.outputs.model}}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


def _find(name: str) -> Component:
    if name not in COMPONENTS:
        raise BadRequest(f"There is no component {name}.")
    return COMPONENTS[name]


@pytest.mark.slow
@given(properties=st.dictionaries(_keys, _json, max_size=6))
def test_whatever_comes_in_is_a_graph_or_a_bad_request(properties: dict[str, Any]) -> None:
    with suppress(BadRequest):
        of_pipeline(pipeline_job(properties), _find)
    with suppress(BadRequest):
        of_command(command_job(properties), None)

"""The registry's component documents against the real interface and through the SDK's own parser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from azureml_local.components import PIPELINE, definitions
from azureml_local.execution.binding import of_pipeline
from azureml_local.execution.component import Component
from azureml_local.execution.graph import Target
from azureml_local.execution.nodes import pipeline_job
from tests.support.checkout import SHARED

_REFERENCE = SHARED / "chat_completion_pipeline.json"

needs_reference = pytest.mark.skipif(not _REFERENCE.exists(), reason="the reference data is not here")


def specs() -> dict[str, dict[str, Any]]:
    return {name: properties["componentSpec"] for name, _, properties in definitions()}


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_REFERENCE.read_text())
    return document


def _comparable(port: dict[str, Any], *, optional: bool) -> dict[str, Any]:
    default = port.get("default")
    if default is not None and port["type"] == "number":
        default = float(default)
    return {
        "type": port["type"],
        "default": None if default is None else str(default),
        "enum": port.get("enum") or [],
        "min": None if port.get("min") is None else int(port["min"]),
        "mode": port.get("mode"),
        "optional": bool(port.get("optional")) if optional else None,
    }


@needs_reference
def test_pipeline_has_the_real_interface(reference: dict[str, Any]) -> None:
    spec = specs()[PIPELINE]
    assert spec["version"] == reference["version"]
    assert list(spec["inputs"]) == list(reference["inputs"])
    for kind in ("inputs", "outputs"):
        ours = {name: _comparable(port, optional=kind == "inputs") for name, port in spec[kind].items()}
        real = {name: _comparable(port, optional=kind == "inputs") for name, port in reference[kind].items()}
        assert ours == real


@needs_reference
def test_steps_have_the_real_interface(reference: dict[str, Any]) -> None:
    for step in reference["jobs_in_order"]:
        real, ours = reference["sub_components"][step["job"]], specs()[step["job"]]
        assert ours["version"] == real["version"]
        assert {n: _comparable(p, optional=True) for n, p in ours["inputs"].items()} == {
            n: _comparable(p, optional=True) for n, p in real["inputs"].items()
        }
        assert list(ours["outputs"]) == list(real["outputs"])


@needs_reference
def test_steps_are_bound_as_in_the_real_pipeline(reference: dict[str, Any]) -> None:
    nodes = specs()[PIPELINE]["jobs"]
    assert list(nodes) == [step["job"] for step in reference["jobs_in_order"]]
    for step in reference["jobs_in_order"]:
        node = nodes[step["job"]]
        assert {name: bound["value"] for name, bound in node["inputs"].items()} == step["inputs"]
        assert {name: bound["value"] for name, bound in node["outputs"].items()} == step.get("outputs", {})
        assert node["computeId"] == step["compute"]
        assert node["resources"] == step["resources"]
        assert ("distribution" in node) == ("distribution" in step)


@pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")
@pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")
def test_the_sdk_reads_the_documents() -> None:
    from azure.ai.ml._restclient.arm_ml_service.models import ComponentVersion
    from azure.ai.ml.entities import Component as SdkComponent

    for name, version, properties in definitions():
        wire = {
            "id": f"azureml://registries/azureml/components/{name}/versions/{version}",
            "properties": json.loads(json.dumps(properties)),
        }
        component = SdkComponent._from_rest_object(ComponentVersion(wire))
        assert (component.name, component.version) == (name, version)
        if name == PIPELINE:
            assert list(component.jobs) == list(specs()[PIPELINE]["jobs"])
            assert component.inputs["num_train_epochs"].default == 1
            assert component.inputs["learning_rate"].default == 2e-5
            assert component.inputs["precision"].enum == ["32", "16"]


def test_every_input_reaches_the_command_line() -> None:
    for name, spec in specs().items():
        if name == PIPELINE:
            continue
        for port in spec["inputs"]:
            assert f"--{port} '${{{{inputs.{port}}}}}'" in spec["command"]
        for port in spec["outputs"]:
            assert f"--{port} '${{{{outputs.{port}}}}}'" in spec["command"]


def test_the_pipeline_expands_to_five_steps_in_order() -> None:
    from azureml_local.execution.component import ports

    def find(reference: str) -> Component:
        name = reference.split("/components/")[1].split("/")[0]
        spec = specs()[name]
        return Component(
            id=reference,
            name=name,
            version=spec["version"],
            type=spec["type"],
            inputs=ports(spec["inputs"]),
            outputs=ports(spec["outputs"]),
            command=spec.get("command", ""),
            jobs=spec.get("jobs", {}),
            resources=spec.get("resources") or {},
        )

    pipeline_id = f"azureml://registries/azureml/components/{PIPELINE}/versions/0.0.82"
    job = pipeline_job(
        {
            "jobs": {
                "ft": {
                    "componentId": pipeline_id,
                    "inputs": {
                        "train_file_path": {"job_input_type": "uri_file", "uri": "azureml://x"},
                        "compute_finetune": {"job_input_type": "literal", "value": "gpu"},
                    },
                    "outputs": {
                        "mlflow_model_folder": {
                            "type": "literal",
                            "value": "${{parent.outputs.trained_model}}",
                        }
                    },
                }
            },
            "outputs": {"trained_model": {"jobOutputType": "mlflow_model"}},
        },
    )
    graph = of_pipeline(job, find)
    assert [step.name for step in graph.steps] == list(specs()[PIPELINE]["jobs"])
    assert graph.outputs["trained_model"].step == "ft/ft_nlp_model_converter"
    assert graph.steps[3].compute == Target("gpu")
    # What names no cluster is serverless, on machines of the size that the component has for it.
    assert graph.steps[0].compute == Target(vm_size="Standard_d12_v2")

"""The registry's documents of the chat completion pipeline component and of the commands it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from azureml_local.components import interface
from azureml_local.components.interface import Port

PIPELINE = "chat_completion_pipeline"
PIPELINE_VERSION = "0.0.82"

_SCHEMA = "https://azuremlschemas.azureedge.net/latest"
# Jobs run under this server's interpreter; the name is what a person expects to read in a job's definition.
ENVIRONMENT = "azureml://registries/azureml/environments/azureml-local-cpu/versions/1"


class Definition(NamedTuple):
    """A component of the registry: `properties` as the service's ComponentVersion has them."""

    name: str
    version: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class _Step:
    """A command component and its place in the pipeline.

    Inputs are bound to the pipeline's of the same name, but for those in `bound` (another name or step's
    output, or a literal) and in `unbound` (left to their default).
    """

    name: str
    version: str
    module: str
    display_name: str
    description: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    compute: str
    instance_type: str
    bound: Mapping[str, str] = field(default_factory=dict)
    unbound: frozenset[str] = frozenset()
    published: tuple[str, ...] = ()  # its outputs that are the pipeline's
    resources: Mapping[str, str] = field(default_factory=dict)
    distribution: Mapping[str, str] = field(default_factory=dict)


_STEPS = (
    _Step(
        name="ft_nlp_common_validation",
        version="0.0.80",
        module="validation",
        display_name="Common Validation Component",
        description="Checks the data and the parameters before anything expensive starts.",
        inputs=interface.VALIDATION_INPUTS,
        outputs={"validation_info": Port("uri_file", mode="rw_mount")},
        compute="compute_model_import",
        instance_type="instance_type_model_import",
        bound={
            "compute_data_preprocess": "${{parent.inputs.compute_preprocess}}",
            "task_name": "chat-completion",
            "user_column_names": "messages",
        },
        unbound=frozenset({"system_properties"}),
    ),
    _Step(
        name="chat_completion_model_import",
        version="0.0.81",
        module="model_import",
        display_name="Chat Completion Model Import",
        description="Takes the weights and the tokenizer out of the base model.",
        inputs=interface.IMPORT_INPUTS,
        outputs={"output_dir": Port("uri_folder", mode="rw_mount")},
        compute="compute_model_import",
        instance_type="instance_type_model_import",
        bound={"validation_output": "${{parent.jobs.ft_nlp_common_validation.outputs.validation_info}}"},
    ),
    _Step(
        name="chat_completion_datapreprocess",
        version="0.0.80",
        module="preprocess",
        display_name="Chat Completion DataPreProcess",
        description="Applies the chat template, makes the splits and marks the tokens to learn from.",
        inputs=interface.PREPROCESS_INPUTS,
        outputs={"output_dir": Port("uri_folder", mode="rw_mount")},
        compute="compute_preprocess",
        instance_type="instance_type_preprocess",
        bound={"model_selector_output": "${{parent.jobs.chat_completion_model_import.outputs.output_dir}}"},
    ),
    _Step(
        name="chat_completion_finetune",
        version="0.0.81",
        module="finetune",
        display_name="Chat Completion Finetune",
        description="Fine-tunes all weights or LoRA adapters on the CPU and merges the adapters.",
        inputs=interface.FINETUNE_INPUTS,
        outputs={"pytorch_model_folder": Port("uri_folder", mode="rw_mount")},
        compute="compute_finetune",
        instance_type="instance_type_finetune",
        bound={
            "preprocess_output": "${{parent.jobs.chat_completion_datapreprocess.outputs.output_dir}}",
            "model_selector_output": "${{parent.jobs.chat_completion_model_import.outputs.output_dir}}",
        },
        published=("pytorch_model_folder",),
        resources={
            "instance_count": "${{parent.inputs.num_nodes_finetune}}",
            "shm_size": "${{parent.inputs.shm_size_finetune}}",
        },
        distribution={
            "distribution_type": "PyTorch",
            "process_count_per_instance": "${{parent.inputs.number_of_gpu_to_use_finetuning}}",
        },
    ),
    _Step(
        name="ft_nlp_model_converter",
        version="0.0.80",
        module="model_converter",
        display_name="Model Converter",
        description="Packs the fine-tuned weights as an MLflow model that an endpoint can serve.",
        inputs=interface.CONVERTER_INPUTS,
        outputs={"mlflow_model_folder": Port("mlflow_model", mode="rw_mount")},
        compute="compute_finetune",
        instance_type="instance_type_finetune",
        bound={"model_path": "${{parent.jobs.chat_completion_finetune.outputs.pytorch_model_folder}}"},
        unbound=frozenset({"model_import_output", "system_properties"}),
        published=("mlflow_model_folder",),
    ),
)


def definitions() -> list[Definition]:
    """The five commands and the pipeline, as the registry lists them."""
    return [*map(_command, _STEPS), _pipeline()]


def _command(step: _Step) -> Definition:
    spec = {
        "$schema": f"{_SCHEMA}/commandComponent.schema.json",
        "name": step.name,
        "version": step.version,
        "type": "command",
        "display_name": step.display_name,
        "description": step.description,
        "is_deterministic": True,
        "inputs": {name: port.spec() for name, port in step.inputs.items()},
        "outputs": {name: port.spec(output=True) for name, port in step.outputs.items()},
        "environment": ENVIRONMENT,
        "command": _command_line(step),
    }
    if step.distribution:
        spec["distribution"] = {"type": "pytorch"}
    return _definition(spec)


def _command_line(step: _Step) -> str:
    options = []
    for name, port in step.inputs.items():
        option = f"--{name} '${{{{inputs.{name}}}}}'"
        options.append(f"$[[{option}]]" if port.optional else option)
    options += [f"--{name} '${{{{outputs.{name}}}}}'" for name in step.outputs]
    return " ".join([f"python -m azureml_local.components.{step.module}", *options])


def _pipeline() -> Definition:
    return _definition(
        {
            "$schema": f"{_SCHEMA}/pipelineComponent.schema.json",
            "name": PIPELINE,
            "version": PIPELINE_VERSION,
            "type": "pipeline",
            "display_name": "Chat Completion Pipeline",
            "description": "Fine-tunes a chat model on conversations and returns it as an MLflow model.",
            "is_deterministic": True,
            "inputs": {name: port.spec() for name, port in interface.PIPELINE_INPUTS.items()},
            "outputs": {name: port.spec(output=True) for name, port in interface.PIPELINE_OUTPUTS.items()},
            "jobs": {step.name: _node(step) for step in _STEPS},
        }
    )


def _node(step: _Step) -> dict[str, Any]:
    bindings = {name: f"${{{{parent.inputs.{name}}}}}" for name in step.inputs if name not in step.unbound}
    bindings |= step.bound
    node: dict[str, Any] = {
        "name": step.name,
        "type": "command",
        "componentId": f"azureml://registries/azureml/components/{step.name}/versions/{step.version}",
        "computeId": f"${{{{parent.inputs.{step.compute}}}}}",
        "resources": {"instance_type": f"${{{{parent.inputs.{step.instance_type}}}}}", **step.resources},
        "inputs": {
            name: {"job_input_type": "literal", "value": binding} for name, binding in bindings.items()
        },
        "outputs": {
            name: {"type": "literal", "value": f"${{{{parent.outputs.{name}}}}}"} for name in step.published
        },
    }
    if step.distribution:
        node["distribution"] = dict(step.distribution)
    return node


def _definition(spec: dict[str, Any]) -> Definition:
    return Definition(
        spec["name"],
        spec["version"],
        {
            "componentSpec": spec,
            "description": spec["description"],
            "isAnonymous": False,
            "isArchived": False,
            "tags": {},
            "properties": {},
        },
    )

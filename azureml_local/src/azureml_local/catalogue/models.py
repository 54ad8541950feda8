"""The registry's model documents.

SmolLM2 is there as it is. Of Azure's models only the description of what they are and where they may run is
here (tags, system metadata, archive flag, as of July 2026 or of an earlier day); their weights are the user's
own or, declared everywhere, SmolLM2's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from azureml_local.catalogue import smollm2
from azureml_local.catalogue.own_models import OwnModel, own_models
from azureml_local.catalogue.weights import WEIGHTS_VARIABLE, own_weights

STAND_IN_TAG = "local_stand_in"
UNTRAINABLE_TAG = "local_untrainable"
"""Why the training step would refuse a model, so that nobody has to run it to find out."""

# How many parameters each model has, by its card on the hub: no document of the registry says it.
PARAMETERS = {
    smollm2.NAME: 134_515_008,
    "Phi-3-mini-4k-instruct": 3_821_079_552,
    "Phi-3.5-mini-instruct": 3_821_079_552,
    "Phi-4": 14_659_507_200,
}

_T4 = tuple(f"Standard_NC{n}as_T4_v3" for n in (4, 8, 16, 64))
_V100 = tuple(f"Standard_NC{n}s_v3" for n in (6, 12, 24))
_A100 = tuple(f"Standard_NC{n}ads_A100_v4" for n in (24, 48, 96))
_A100_80 = "Standard_ND96amsr_A100_v4"
_A100_40 = "Standard_ND96asr_v4"
_H100 = ("Standard_NC40ads_H100_v5", "Standard_NC80adis_H100_v5", "Standard_ND96isr_H100_v5")
_ANY_SIZE = [*_T4, *_V100, *_A100, *_H100]


class Entry(NamedTuple):
    """A model of the registry: `properties` as the service's ModelVersion has them."""

    name: str
    version: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class _AzureModel:
    """A model of Azure's registry.

    `archived` is the day from which it was; `tagged` ones have their allow-lists in tags still, as all had.
    """

    name: str
    version: str
    about: str
    license: str
    finetune: Sequence[str]
    inference: Sequence[str]
    defaults: dict[str, Any]
    vanity_registry: str | None = None
    retirement: str | None = None  # a day; the same for fine-tuning and inference
    archived: date | None = None
    tagged: bool = False
    min_sku: dict[str, str] = field(default_factory=dict)


_PHI_DEFAULTS: dict[str, Any] = {
    "apply_deepspeed": "true",
    "deepspeed_stage": 2,
    "apply_lora": "true",
    "apply_ort": "false",
    "precision": 16,
    "ignore_mismatched_sizes": "false",
    "num_train_epochs": 1,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-06,
    "learning_rate_min": 5e-07,
    "learning_rate_max": 5e-05,
    "lr_scheduler_type": "cosine",
    "logging_strategy": "steps",
    "logging_steps": 10,
    "save_total_limit": 1,
}

_PHI_ARCHIVED = date(2026, 6, 2)  # azureml-assets pull request 5103
_TAGS_MOVED = date(2026, 4, 1)  # from then on allow-lists went into system metadata, model by model
_AZURE_MODELS = (
    _AzureModel(
        name="Phi-3-mini-4k-instruct",
        version="15",
        about="Microsoft's instruct model of 3.8 billion parameters with a context of 4,096 tokens",
        license="mit",
        finetune=(*_A100, _A100_40, _A100_80),
        inference=(*_V100, "Standard_ND40rs_v2", *_A100[:2], _A100_40, _A100_80, _A100[2]),
        defaults=_PHI_DEFAULTS,
        vanity_registry="azureml-phi",
        retirement="2025-08-30",
        archived=_PHI_ARCHIVED,
        tagged=True,
        min_sku={"inference": "6|1|112|64", "finetune": "24|1|220|64"},
    ),
    _AzureModel(
        name="Phi-3.5-mini-instruct",
        version="6",
        about="Microsoft's instruct model of 3.8 billion parameters with a context of 128 thousand tokens",
        license="mit",
        finetune=(*_A100, _A100_80),
        inference=(*_A100[:2], _A100_80, _A100[2]),
        defaults=_PHI_DEFAULTS
        | {
            "max_seq_length": 16384,
            "learning_rate": 2e-05,
            "learning_rate_min": 2e-06,
            "learning_rate_max": 0.0002,
        },
        vanity_registry="azureml-phi",
        retirement="2025-08-30",
        archived=_PHI_ARCHIVED,
        min_sku={"inference": "24|1|220|64", "finetune": "24|1|220|64"},
    ),
    _AzureModel(
        name="Phi-4",
        version="8",
        about="Microsoft's chat model of 14 billion parameters",
        license="mit",
        finetune=(*_A100, _A100_40, _A100_80, *_H100),
        inference=(*_A100, _A100_40, _A100_80, _H100[2], *_H100[:2]),
        defaults={
            key: value
            for key, value in _PHI_DEFAULTS.items()
            if key not in ("learning_rate_min", "learning_rate_max")
        }
        | {"deepspeed_stage": 3},
        min_sku={"inference": "24|1|220|64", "finetune": "24|1|220|64"},
    ),
)


def models(as_of: date | None = None) -> list[Entry]:
    """Every model version of the registry, in the order in which they are offered; today's, or a day's."""
    own = own_models()
    named = {model.name for model in own}
    shipped = [_smollm2(), *(_azure_model(model, as_of or date.max) for model in _AZURE_MODELS)]
    return [*(entry for entry in shipped if entry.name not in named), *(_own(model) for model in own)]


def _own(model: OwnModel) -> Entry:
    tags = {
        "task": "chat-completion",
        "finetune_compute_allow_list": str(_ANY_SIZE),
        "inference_compute_allow_list": str(_ANY_SIZE),
        **model.tags,
    }
    if reason := model.untrainable:
        tags[UNTRAINABLE_TAG] = reason
    return _entry(
        model.name,
        model.version,
        model.description or f"A model of one's own, by its files in {model.weights}.",
        tags=tags,
        properties={"finetuning-tasks": "chat-completion"},
    )


def _smollm2() -> Entry:
    defaults = {
        "apply_lora": "true",
        "apply_deepspeed": "false",
        "precision": 16,
        "per_device_train_batch_size": 4,
        "lr_scheduler_type": "cosine",
        "learning_rate": 3e-3,
        "lora_r": 8,
        "lora_alpha": 16,
        "logging_steps": 5,
    }
    return _entry(
        smollm2.NAME,
        "1",
        "Hugging Face's instruct model of 135 million parameters with a context of 8,192 tokens, English. "
        f"The weights come from the Python package {smollm2.PACKAGE}, quantised to 4 bits there and turned "
        "back to bfloat16 here.",
        tags={
            "task": "chat-completion",
            "license": "apache-2.0",
            "author": "HuggingFaceTB",
            "finetune_compute_allow_list": str(_ANY_SIZE),
            "inference_compute_allow_list": str(_ANY_SIZE),
            "model_specific_defaults": json.dumps(defaults),
        },
        properties={"languages": "en", "finetuning-tasks": "chat-completion"},
    )


def _azure_model(model: _AzureModel, as_of: date) -> Entry:
    tags = {"model_specific_defaults": json.dumps(model.defaults)}
    properties = {}
    if model.vanity_registry:
        tags["_aml_system_vanity_registry"] = model.vanity_registry
    if model.tagged or as_of < _TAGS_MOVED:
        tags |= {
            "task": "chat-completion",
            "finetune_compute_allow_list": str(list(model.finetune)),
            "inference_compute_allow_list": str(list(model.inference)),
            "inference_supported_envs": "['vllm']",
            "SharedComputeCapacityEnabled": "",
        }
        if model.retirement:
            tags |= {"FinetuneRetirementDate": model.retirement, "InferenceRetirementDate": model.retirement}
        properties = {"languages": "en", "finetuning-tasks": "chat-completion"}
        properties |= {f"{use}-min-sku-spec": spec for use, spec in model.min_sku.items()}
    description = f"{model.about}. License: {model.license}. "
    if own_weights(model.name) is None:
        tags[STAND_IN_TAG] = smollm2.NAME
        description += (
            f"STAND-IN: on this workspace the weights are those of {smollm2.NAME}. For the model's own, name "
            f"in {WEIGHTS_VARIABLE} a directory that holds its Hugging Face folder as {model.name}/."
        )
    else:
        description += f"On this workspace the weights are those found in {WEIGHTS_VARIABLE}."
    return _entry(
        model.name,
        model.version,
        description,
        tags=tags,
        properties=properties,
        system_metadata=_system_metadata(model),
        archived=model.archived is not None and model.archived <= as_of,
    )


def _system_metadata(model: _AzureModel) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "sharedComputeCapacityEnabled": True,
        "supportedComputes": {
            "inferenceComputes": list(model.inference),
            "finetuneComputes": list(model.finetune),
        },
        "SKU": {f"{use}MinSkuSpec": spec for use, spec in model.min_sku.items()},
    }
    if model.retirement:
        day = f"{model.retirement}T00:00:00.000000Z"
        metadata["deprecation"] = {"finetuneRetirementDate": day, "inferenceRetirementDate": day}
    return metadata


def _entry(
    name: str,
    version: str,
    description: str,
    *,
    tags: dict[str, str],
    properties: dict[str, str],
    system_metadata: dict[str, Any] | None = None,
    archived: bool = False,
) -> Entry:
    return Entry(
        name,
        version,
        {
            "modelType": "mlflow_model",
            "modelUri": f"azureml://registries/azureml/models/{name}/versions/{version}",
            "description": description,
            "flavors": {"python_function": {"data": {}}},
            "tags": tags,
            "properties": properties,
            "systemMetadata": system_metadata or {},
            "stage": "",
            "isAnonymous": False,
            "isArchived": archived,
        },
    )

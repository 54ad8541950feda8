"""The interface of the registry's chat completion fine-tuning: ports of its pipeline and of its five steps.

Names, types, defaults and choices are those of version 0.0.82 of Azure's `chat_completion_pipeline`; on the
wire every default and choice is a string, truth values and numbers too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_PATH_TYPES = frozenset({"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model"})


@dataclass(frozen=True)
class Port:
    """An input of a component, or, without default and bounds, an output."""

    type: str = "string"
    default: str | None = None
    enum: tuple[str, ...] = ()
    min: int | None = None
    optional: bool = True
    mode: str | None = None

    @property
    def is_path(self) -> bool:
        return self.type in _PATH_TYPES

    def spec(self, *, output: bool = False) -> dict[str, Any]:
        """As a component's specification writes it."""
        spec: dict[str, Any] = {"type": self.type}
        if self.mode:
            spec["mode"] = self.mode
        if output:
            return spec
        if self.optional:
            spec["optional"] = True
        if self.default is not None:
            spec["default"] = self.default
        if self.enum:
            spec["enum"] = list(self.enum)
        if self.min is not None:
            spec["min"] = str(self.min)
        return spec


def _text(default: str | None = None, *enum: str) -> Port:
    return Port("string", default, enum)


def _integer(default: int, *, at_least: int | None = None) -> Port:
    return Port("integer", str(default), min=at_least)


def _number(default: str) -> Port:
    return Port("number", default)


def _switch(default: bool) -> Port:
    return Port("string", str(default).lower(), ("true", "false"))


def _path(kind: str, mode: str | None = "rw_mount") -> Port:
    return Port(kind, mode=mode)


_DATA = {
    **{f"{split}_file_path": _path("uri_file") for split in ("train", "validation", "test")},
    **{f"{split}_mltable_path": _path("mltable", None) for split in ("train", "validation", "test")},
}

_LORA = {
    "apply_lora": _switch(False),
    "merge_lora_weights": _switch(True),
    "lora_alpha": _integer(128),
    "lora_r": _integer(8),
    "lora_dropout": _number("0.0"),
}

_TRAINING = {
    "num_train_epochs": _integer(1, at_least=1),
    "max_steps": _integer(-1),
    "per_device_train_batch_size": _integer(1, at_least=1),
    "per_device_eval_batch_size": _integer(1, at_least=1),
    "auto_find_batch_size": _switch(False),
    "optim": _text("adamw_torch", "adamw_torch", "adafactor"),
    "learning_rate": _number("2e-05"),
    "warmup_steps": _integer(0),
    "weight_decay": _number("0.0"),
    "adam_beta1": _number("0.9"),
    "adam_beta2": _number("0.999"),
    "adam_epsilon": _number("1e-8"),
    "gradient_accumulation_steps": _integer(1),
    "eval_accumulation_steps": _integer(-1),
    "lr_scheduler_type": _text(
        "linear",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
    ),
    "precision": _text("32", "32", "16"),
    "seed": _integer(42),
    "enable_full_determinism": _switch(False),
    "dataloader_num_workers": _integer(0),
    "ignore_mismatched_sizes": _switch(False),
    "max_grad_norm": _number("1.0"),
    "evaluation_strategy": _text("epoch", "epoch", "steps", "disable"),
    "evaluation_steps_interval": _number("0.0"),
    "eval_steps": _integer(500),
    "logging_strategy": _text("steps", "epoch", "steps"),
    "logging_steps": _integer(10),
    "metric_for_best_model": _text("loss", "loss", "f1", "exact"),
    "resume_from_checkpoint": _switch(False),
    "save_total_limit": _integer(-1),
    "apply_early_stopping": _switch(False),
    "early_stopping_patience": _integer(1),
    "early_stopping_threshold": _number("0.0"),
    "apply_deepspeed": _switch(False),
    "deepspeed": _path("uri_file"),
    "deepspeed_stage": _text("2", "2", "3"),
    "apply_ort": _switch(False),
}

PIPELINE_INPUTS: Mapping[str, Port] = {
    "instance_type_model_import": _text("Standard_d12_v2"),
    "instance_type_preprocess": _text("Standard_d12_v2"),
    "instance_type_finetune": _text("Standard_nc24rs_v3"),
    "instance_type_model_evaluation": _text("Standard_nc24rs_v3"),
    "shm_size_finetune": _text("5g"),
    "num_nodes_finetune": _integer(1, at_least=1),
    "number_of_gpu_to_use_finetuning": _integer(1, at_least=1),
    "huggingface_id": _text(),
    "pytorch_model_path": _path("custom_model"),
    "mlflow_model_path": _path("mlflow_model"),
    "finetune_config_path": _path("uri_file", "ro_mount"),
    "trust_remote_code": _switch(False),
    "task_name": replace(_text("ChatCompletion", "ChatCompletion"), optional=False),
    "batch_size": _integer(1000, at_least=1),
    "pad_to_max_length": _switch(False),
    "max_seq_length": _integer(-1),
    **_DATA,
    **_LORA,
    **_TRAINING,
    "evaluation_config": _path("uri_file", None),
    "evaluation_config_params": _text(),
    "compute_model_import": _text("serverless"),
    "compute_preprocess": _text("serverless"),
    "compute_finetune": _text("serverless"),
    "compute_model_evaluation": _text("serverless"),
}

PIPELINE_OUTPUTS: Mapping[str, Port] = {
    "pytorch_model_folder": _path("uri_folder"),
    "mlflow_model_folder": _path("mlflow_model"),
}


def _shared(names: Iterable[str]) -> dict[str, Port]:
    return {name: PIPELINE_INPUTS[name] for name in names}


VALIDATION_INPUTS: Mapping[str, Port] = {
    "mlflow_model_path": PIPELINE_INPUTS["mlflow_model_path"],
    "compute_finetune": _text("serverless"),
    "compute_model_import": _text("serverless"),
    "compute_data_preprocess": _text("serverless"),
    "task_name": _text("SingleLabelClassification"),
    "num_nodes_finetune": PIPELINE_INPUTS["num_nodes_finetune"],
    "number_of_gpu_to_use_finetuning": _integer(1),
    **_DATA,
    "user_column_names": _text(),
    "system_properties": _text(),
    "num_train_epochs": Port("integer"),
    "max_steps": Port("integer"),
    "per_device_train_batch_size": Port("integer"),
    "per_device_eval_batch_size": Port("integer"),
    "auto_find_batch_size": _switch(False),
    "learning_rate": Port("number"),
    "adam_beta1": Port("number"),
    "adam_beta2": Port("number"),
    "adam_epsilon": Port("number"),
    **_shared(("apply_deepspeed", "precision", "apply_lora", "apply_ort", "deepspeed_stage")),
    "ignore_mismatched_sizes": _switch(True),
    "max_seq_length": _integer(-1),
}

IMPORT_INPUTS: Mapping[str, Port] = {
    **_shared(("huggingface_id", "pytorch_model_path", "mlflow_model_path")),
    "validation_output": _path("uri_file"),
    "finetune_config_path": PIPELINE_INPUTS["finetune_config_path"],
}

PREPROCESS_INPUTS: Mapping[str, Port] = {
    **_shared(("batch_size", "pad_to_max_length", "max_seq_length")),
    **_DATA,
    "model_selector_output": replace(_path("uri_folder"), optional=False),
    "trust_remote_code": PIPELINE_INPUTS["trust_remote_code"],
}

FINETUNE_INPUTS: Mapping[str, Port] = {
    **_LORA,
    **_TRAINING,
    "preprocess_output": replace(_path("uri_folder"), optional=False),
    "model_selector_output": replace(_path("uri_folder"), optional=False),
}

CONVERTER_INPUTS: Mapping[str, Port] = {
    "model_path": replace(_path("uri_folder"), optional=False),
    "model_import_output": _path("uri_folder"),
    "system_properties": _text(),
}

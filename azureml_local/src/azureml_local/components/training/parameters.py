"""What a training run is told: the step's inputs, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Parameters:
    """The inputs of the fine-tuning step that have a meaning here, under the names of the interface.

    Batch sizes count conversations; negative or zero `max_steps` means all epochs.
    """

    apply_lora: bool
    merge_lora_weights: bool
    lora_alpha: int
    lora_r: int
    lora_dropout: float
    num_train_epochs: int
    max_steps: int
    per_device_train_batch_size: int
    per_device_eval_batch_size: int
    optim: str
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    gradient_accumulation_steps: int
    lr_scheduler_type: str
    precision: str
    seed: int
    enable_full_determinism: bool
    max_grad_norm: float
    evaluation_strategy: str
    evaluation_steps_interval: float
    eval_steps: int
    logging_strategy: str
    logging_steps: int
    apply_early_stopping: bool
    early_stopping_patience: int
    early_stopping_threshold: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Parameters:
        """Raises ValueError with one line that names every bad value."""
        parameters = cls(**{field.name: values[field.name] for field in fields(cls)})
        objections = parameters._objections()
        if values["apply_deepspeed"] and values["auto_find_batch_size"]:
            objections.append("apply_deepspeed and auto_find_batch_size cannot both be true")
        if objections:
            raise ValueError("; ".join(objections) + ".")
        return parameters

    def _objections(self) -> list[str]:
        rules = {
            "the learning rate must be greater than 0": self.learning_rate > 0,
            "gradient_accumulation_steps must be at least 1": self.gradient_accumulation_steps >= 1,
            "lora_r must be at least 1": self.lora_r >= 1 or not self.apply_lora,
            "lora_dropout must be from 0 to less than 1": 0 <= self.lora_dropout < 1,
            "warmup_steps must be 0 or more": self.warmup_steps >= 0,
            "logging_steps must be at least 1": self.logging_steps >= 1,
            "eval_steps must be at least 1": self.eval_steps >= 1,
            "evaluation_steps_interval must be from 0 to 1": 0 <= self.evaluation_steps_interval <= 1,
            "early stopping needs the evaluation strategy steps or epoch": not self.apply_early_stopping
            or self.evaluation_strategy != "disable",
        }
        return [rule for rule, kept in rules.items() if not kept]

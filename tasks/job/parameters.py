"""The parameters of the fine-tuning: the user's, the model's, and the project's defaults, merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.azure.failure import Cause, Failure

Value = str | int | float
Origin = Literal["user", "model", "project"]

# The tutorial's own defaults; the model's and then the user's go before them.
PROJECT: Mapping[str, Any] = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "learning_rate": 5e-6,
    "lr_scheduler_type": "cosine",
    "apply_lora": True,
    "apply_deepspeed": True,
    "deepspeed_stage": 2,
}


class Training(BaseModel):
    """How to train. A field left empty takes what the model suggests, else the project's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Training")

    num_train_epochs: int | None = Field(None, ge=1, title="Epochs", description="Passes over the data; 3.")
    max_steps: int | None = Field(None, description="Stop after so many steps; -1 goes by epochs.")
    per_device_train_batch_size: int | None = Field(None, ge=1, description="Rows a GPU and step; 1.")
    per_device_eval_batch_size: int | None = Field(None, ge=1, description="Rows a GPU and step; 1.")
    gradient_accumulation_steps: int | None = Field(None, ge=1, description="Steps before an update; 1.")
    learning_rate: float | None = Field(None, gt=0, description="Peak learning rate; 5e-6.")
    lr_scheduler_type: (
        Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"]
        | None
    ) = Field(None, title="Learning rate schedule", description="How it falls; cosine.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps up to the peak learning rate.")
    weight_decay: float | None = Field(None, ge=0, description="Pull of the weights towards zero; 0.")
    max_seq_length: int | None = Field(None, description="Tokens a row; -1 takes the model's own limit.")
    seed: int | None = Field(None, description="Seed of the order of the data and of the adapters.")
    evaluation_strategy: Literal["epoch", "steps", "disable"] | None = Field(
        None, description="When the held-out loss is measured."
    )
    eval_steps: int | None = Field(None, ge=1, description="Steps between evaluations.")
    logging_steps: int | None = Field(None, ge=1, description="Steps between values of the loss.")
    save_total_limit: int | None = Field(None, description="Checkpoints to keep; -1 keeps all.")


class Optimisation(BaseModel):
    """What makes training fit and fast. A field left empty goes by the model, else by the project."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Optimisation")

    apply_lora: bool | None = Field(None, title="LoRA", description="Train low-rank adapters only; on.")
    lora_r: int | None = Field(None, ge=1, title="LoRA rank", description="Width of the adapters.")
    lora_alpha: int | None = Field(None, ge=1, title="LoRA alpha", description="Weight of the adapters.")
    lora_dropout: float | None = Field(
        None, ge=0, lt=1, title="LoRA dropout", description="Share of the adapters' inputs left out."
    )
    apply_deepspeed: bool | None = Field(
        None, title="DeepSpeed", description="Spread the model over the GPUs; on."
    )
    deepspeed_stage: Literal[2, 3] | None = Field(None, description="What DeepSpeed shards; 2.")
    precision: Literal[16, 32] | None = Field(None, description="Bits of a weight.")
    apply_ort: bool | None = Field(
        None, title="ONNX Runtime training", description="Train with ONNX Runtime; off."
    )
    auto_find_batch_size: bool | None = Field(None, description="Not together with DeepSpeed.")


class Parameters(BaseModel):
    """What to set on the pipeline component."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Parameters")

    training: Training = Training()
    optimisation: Optimisation = Optimisation()
    more: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Any other input of the pipeline component by its name."
    )

    def set_by_user(self) -> dict[str, Any]:
        """What the user set; an empty field is not set, however it got into the document."""
        return {
            **self.training.model_dump(exclude_none=True),
            **self.optimisation.model_dump(exclude_none=True),
            **self.more,
        }


class ComponentInput(BaseModel):
    """One input of the pipeline component, as far as a value must fit it."""

    model_config = ConfigDict(frozen=True)

    type: str
    enum: tuple[str, ...] = ()
    minimum: float | None = None


class Effective(BaseModel):
    """The parameters that the job gets, each with its origin, and what became of the others."""

    model_config = ConfigDict(frozen=True)

    values: dict[str, Value]
    origin: dict[str, Origin]
    overridden: dict[str, str]  # parameter -> what it would have been, and by whom
    dropped: dict[str, str]  # parameter -> why


def merge(
    parameters: Parameters, model: Mapping[str, Any], component: Mapping[str, ComponentInput]
) -> Effective:
    """What holds: the user's value, else the model's, else the project's; only what the component takes.

    Raises Failure for a value of the user's that the component cannot take.
    """
    sources: dict[Origin, Mapping[str, Any]] = {
        "project": PROJECT,
        "model": model,
        "user": parameters.set_by_user(),
    }
    values: dict[str, Value] = {}
    origin: dict[str, Origin] = {}
    overridden: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for source, given in sources.items():
        for name, value in given.items():
            if name not in component:
                if source == "user":
                    raise _unknown(name, component)
                dropped[name] = f"set by the {source}; the component has no such input"
                continue
            try:
                fitting = fit(value, component[name])
            except ValueError as error:
                if source == "user":
                    raise Failure(
                        f"The parameter {name} {error}.",
                        "Correct it in the recipe.",
                        cause=Cause.CONFIGURATION,
                    ) from None
                dropped[name] = f"set by the {source}, but it {error}"
                continue
            if name in values and values[name] != fitting:
                overridden[name] = f"{values[name]} ({origin[name]})"
            values[name], origin[name] = fitting, source
    return Effective(values=values, origin=origin, overridden=overridden, dropped=dropped)


def fit(value: Any, slot: ComponentInput) -> Value:
    """The value as the component takes it: enumerations are strings on the wire, booleans among them.

    Raises ValueError saying what is wrong with it.
    """
    fitting: Value
    if slot.type == "integer":
        fitting = _number(value)
        if fitting != int(fitting):
            raise ValueError(f"must be a whole number, not {value!r}")
        fitting = int(fitting)
    elif slot.type == "number":
        fitting = _number(value)
    elif isinstance(value, bool):
        fitting = "true" if value else "false"
    else:
        fitting = str(value)
    if slot.enum and str(fitting).casefold() not in (choice.casefold() for choice in slot.enum):
        raise ValueError(f"must be one of {', '.join(slot.enum)}, not {value!r}")
    if slot.minimum is not None and isinstance(fitting, (int, float)) and fitting < slot.minimum:
        raise ValueError(f"must be at least {slot.minimum:g}, not {value!r}")
    return fitting


def inputs_of(component: Any) -> dict[str, ComponentInput]:
    """The inputs of an SDK component."""
    return {
        name: ComponentInput(
            type=str(slot.type),
            enum=tuple(str(choice) for choice in getattr(slot, "enum", None) or ()),
            minimum=None if getattr(slot, "min", None) is None else float(slot.min),
        )
        for name, slot in component.inputs.items()
    }


def _number(value: Any) -> float | int:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {value!r}")
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a number, not {value!r}") from None


def _unknown(name: str, component: Mapping[str, ComponentInput]) -> Failure:
    import difflib

    near = difflib.get_close_matches(name, component, n=3, cutoff=0.5)
    return Failure(
        f"The pipeline component has no input {name!r}.",
        f"Did you mean {' or '.join(near)}?" if near else "Take it out of parameters.",
        cause=Cause.CONFIGURATION,
    )

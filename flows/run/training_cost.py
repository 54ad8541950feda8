"""What the training is going to cost, estimated from its tokens and the model's size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

# Dense bfloat16 or float16 operations a second and GPU, from NVIDIA's and AMD's data sheets, by what Azure's
# names of sizes say of the GPU.
_PEAK = {"H200": 990e12, "H100": 990e12, "A100": 312e12, "A10": 125e12, "V100": 125e12, "T4": 65e12}
_PEAK_V3 = 125e12  # Standard_NC6s_v3 and its kin, whose names leave out their V100
_UTILISATION = 0.3  # of the peak: what fine-tuning of single models usually comes to
_OPERATIONS = 6  # a parameter and token, forward and backward


class TrainingCost(BaseModel):
    """An estimate: good to a factor of two or so. Dollars are None where the price is not published."""

    model_config = ConfigDict(frozen=True)

    tokens: int  # of all epochs
    hours: float
    dollars: float | None
    size: str
    nodes: int


def estimate(tokens: int, parameters: int, size: str, gpus: int, hourly: float | None) -> TrainingCost | None:
    """Of the step that trains alone; `hourly` of all nodes. None where the GPU is not known."""
    peak = _peak(size)
    if peak is None or not gpus:
        return None
    hours = _OPERATIONS * parameters * tokens / (peak * _UTILISATION * gpus) / 3600
    return TrainingCost(
        tokens=tokens, hours=hours, dollars=hours * hourly if hourly else None, size=size, nodes=1
    )


def parameters_of(config: Path) -> int | None:
    """The number of a decoder's parameters, by its config.json; None where it does not say enough."""
    try:
        found: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
        hidden, layers = int(found["hidden_size"]), int(found["num_hidden_layers"])
        inner, words = int(found["intermediate_size"]), int(found["vocab_size"])
        heads = int(found["num_attention_heads"])
        shared = int(found.get("num_key_value_heads") or heads)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    attention = 2 * hidden * hidden * (1 + shared / heads)
    embeddings = words * hidden * (1 if found.get("tie_word_embeddings") else 2)
    return int(layers * (attention + 3 * hidden * inner) + embeddings)


def _peak(size: str) -> float | None:
    name = size.upper()
    for gpu, peak in _PEAK.items():
        if re.search(rf"_{gpu}(_|$)", name):
            return peak
    if re.search(r"ND\d+\w*_V4", name):
        return _PEAK["A100"]
    if re.search(r"ND\d+\w*_V5", name):
        return _PEAK["H100"]
    return _PEAK_V3 if re.search(r"N[CD]\d+R?S_V[23]|ND40RS", name) else None

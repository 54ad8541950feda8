"""What kind of model this engine can train, by its config.json; read without torch, before anything runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_SUPPORTED = ("llama", "mistral", "phi3", "qwen2")


@dataclass(frozen=True)
class Architecture:
    """What a model's config.json says of its shape."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    epsilon: float
    rope_base: float
    rope_share: float
    window: int | None
    context: int
    tied: bool
    fused: bool  # query, key and value are one layer in the model's own files, gate and up another

    @property
    def qkv(self) -> tuple[str, ...]:
        """The layers that make query, key and value, by their names in the model's files."""
        return ("qkv_proj",) if self.fused else ("q_proj", "k_proj", "v_proj")

    @property
    def gate_up(self) -> tuple[str, ...]:
        """The layers that make gate and up."""
        return ("gate_up_proj",) if self.fused else ("gate_proj", "up_proj")

    @classmethod
    def of(cls, folder: Path) -> Architecture:
        """Raises ValueError for a model of another kind."""
        config = json.loads((folder / "config.json").read_text())
        kind = config.get("model_type")
        if kind not in _SUPPORTED:
            raise ValueError(
                f"Models of type {kind!r} cannot be fine-tuned on the local workspace; it knows "
                f"{', '.join(_SUPPORTED)}."
            )
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if rope.get("rope_type", rope.get("type", "default")) not in ("default", None):
            raise ValueError(f"The model scales its rotary embedding ({rope}), which is not supported here.")
        if config.get("hidden_act", "silu") != "silu":
            raise ValueError(f"The activation {config['hidden_act']!r} is not supported here.")
        heads = config["num_attention_heads"]
        sliding = config.get("sliding_window") if config.get("use_sliding_window", True) else None
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            key_heads=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or config["hidden_size"] // heads,
            epsilon=config["rms_norm_eps"],
            rope_base=float(config.get("rope_theta") or rope.get("rope_theta") or 10000.0),
            rope_share=config.get("partial_rotary_factor", 1.0),
            window=None if kind == "llama" else sliding,
            context=config["max_position_embeddings"],
            tied=config.get("tie_word_embeddings", False),
            fused=kind == "phi3",
        )

"""What a model's own files say of how it generates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")


@dataclass(frozen=True)
class GenerationConfig:
    """The tokens that end an answer, and the `sampling` that generation_config.json asks for."""

    stop_tokens: frozenset[int]
    sampling: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> GenerationConfig:
        """As transformers: what only config.json says of the end counts where the other file is missing."""
        file = folder / "generation_config.json"
        given = json.loads((file if file.is_file() else folder / "config.json").read_text())
        ends = given.get("eos_token_id")
        listed = ends if isinstance(ends, list) else [ends]
        sampling = {name: given[name] for name in _SAMPLING if given.get(name) is not None}
        return cls(frozenset(token for token in listed if token is not None), sampling)

"""A causal language model and its tokenizer, as the generator calls them; the choice of who computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

from azureml_local.precision import device
from azureml_local.pretrained.architecture import Architecture
from azureml_local.pretrained.chat_tokenizer import ChatTokenizer
from azureml_local.serving.decoder import Decoder
from azureml_local.serving.slots import SlotCache


class Tokenizer(Protocol):
    """Conversations as tokens, and tokens as text."""

    @property
    def end(self) -> int | None:
        """The token that ends a text."""

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens after which the assistant speaks; raises Refused."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the tokens, without the special ones among them."""


class Model(Protocol):
    """Reads tokens into the rows of its cache, and tells what may follow."""

    context: int
    cache: SlotCache

    def prefill(self, prompt: Sequence[int]) -> torch.Tensor:
        """Read a prompt into the next free row; logits of what follows, (vocabulary,)."""

    def step(self, latest: Sequence[int]) -> torch.Tensor:
        """Read each busy row's latest token; logits of what follows them, (busy, vocabulary)."""


def load(folder: Path, dtype: torch.dtype, rows: int) -> tuple[Tokenizer, Model]:
    """Load a folder in Hugging Face's format.

    What can be trained here is computed here: transformers takes longer to be imported than the model to be
    loaded, and makes fewer tokens a second (docs/benchmarks.md). It is asked for all the rest.
    """
    try:
        shape, tokenizer = Architecture.of(folder), ChatTokenizer(folder)
    except (OSError, ValueError, KeyError):  # another family; no tokenizer.json, no chat template
        from azureml_local.serving.transformers_model import TransformersModel, TransformersTokenizer

        return TransformersTokenizer(folder), TransformersModel(folder, dtype, device(), rows)
    return tokenizer, Decoder.load(folder, shape, dtype, device(), rows)

"""Models of families that only transformers knows, behind the same calls as the decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import Cache, CacheLayerMixin

from azureml_local.pretrained.chat_tokenizer import Refused
from azureml_local.serving.packing import pack
from azureml_local.serving.slots import SlotCache


class TransformersTokenizer:
    """What `ChatTokenizer` does, by transformers."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self.end: int | None = self._tokenizer.eos_token_id

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        try:
            return list(
                self._tokenizer.apply_chat_template(
                    list(messages), add_generation_prompt=True, return_dict=False
                )
            )
        except Exception as error:  # templates are Jinja and raise what their author chose
            raise Refused(str(error)) from error

    def decode(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )


class TransformersModel:
    """What `Decoder` does, by transformers' causal language models."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device, rows: int) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self._model.requires_grad_(False)
        pack(self._model, rows)
        config = self._model.config.get_text_config()
        layers = config.num_hidden_layers
        self.context: int = config.max_position_embeddings
        self.cache = SlotCache(layers, rows, getattr(config, "sliding_window", None))
        self._cache = Cache(layers=[_CacheLayer(self.cache, place) for place in range(layers)])

    def prefill(self, prompt: Sequence[int]) -> torch.Tensor:
        positions = self.cache.start_row(len(prompt))
        mask = self.cache.mask(positions)[None, None]
        return self._forward(torch.tensor([prompt]), positions[None], mask)[0]

    def step(self, latest: Sequence[int]) -> torch.Tensor:
        positions = self.cache.start_step()
        mask = self.cache.mask(positions)[:, None, None]
        return self._forward(torch.tensor(latest)[:, None], positions[:, None], mask)

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of each row's last token, shape (rows, vocabulary), where the next ones are chosen."""
        device = self._model.device
        output: Any = self._model(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits.cpu()


class _CacheLayer(CacheLayerMixin):  # type: ignore[misc]
    """A layer's part of the slots, as transformers asks for it."""

    def __init__(self, slots: SlotCache, place: int) -> None:
        super().__init__()
        self._slots, self._place = slots, place

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """The slots make room themselves."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._slots.update(self._place, key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._slots.width, 0

    def get_seq_length(self) -> int:
        return 0 if self._slots.prefilling else self._slots.width - 1

    def get_max_length(self) -> int:
        return -1

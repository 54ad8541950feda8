"""A decoder of the Llama family that adds a token to each of several texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.nn.functional import embedding, rms_norm, scaled_dot_product_attention, silu

from azureml_local.pretrained import weights as pretrained_weights
from azureml_local.pretrained.architecture import Architecture
from azureml_local.pretrained.rotation import rotate, rotation
from azureml_local.serving.packing import Product, product
from azureml_local.serving.slots import SlotCache

Weights = Mapping[str, torch.Tensor]


class Decoder:
    """Embeddings, layers, norm and head, with the keys and values of up to `rows` texts."""

    def __init__(self, shape: Architecture, weights: Weights, rows: int) -> None:
        self.context = shape.context
        self.cache = SlotCache(shape.layers, rows, shape.window)
        self._shape = shape
        self._embeddings = weights["model.embed_tokens.weight"]
        self._layers = [_Layer(place, shape, weights, rows) for place in range(shape.layers)]
        self._norm = weights["model.norm.weight"]
        head = self._embeddings if shape.tied else weights["lm_head.weight"]
        self._head = product(head, None, rows)

    @classmethod
    def load(
        cls, folder: Path, shape: Architecture, dtype: torch.dtype, device: torch.device, rows: int
    ) -> Decoder:
        """Read the weights of a folder in Hugging Face's format."""
        return cls(shape, pretrained_weights.read(folder, dtype, device), rows)

    def prefill(self, prompt: Sequence[int]) -> torch.Tensor:
        """Read a prompt into the next free row; logits of what follows, (vocabulary,)."""
        return self._forward(prompt, self.cache.start_row(len(prompt)))[-1]

    def step(self, latest: Sequence[int]) -> torch.Tensor:
        """Read each busy row's latest token; logits of what follows them, (busy, vocabulary)."""
        return self._forward(latest, self.cache.start_step())

    def _forward(self, tokens: Sequence[int], positions: torch.Tensor) -> torch.Tensor:
        x = embedding(torch.tensor(tokens, device=self._embeddings.device), self._embeddings)
        turn = rotation(self._shape, positions, x)
        mask = self.cache.mask(positions).to(x.device)
        for layer in self._layers:
            x = layer(x, turn, mask, self.cache)
        if self.cache.prefilling:
            x = x[-1:]
        logits = self._head(rms_norm(x, x.shape[1:], self._norm, self._shape.epsilon))
        return logits.cpu()


class _Layer:
    """Attention and feed-forward block; layers of the same input are one product."""

    def __init__(self, place: int, shape: Architecture, weights: Weights, rows: int) -> None:
        at = f"model.layers.{place}"
        self._place, self._shape = place, shape
        self._attention_norm = weights[f"{at}.input_layernorm.weight"]
        self._qkv = _product(weights, [f"{at}.self_attn.{name}" for name in shape.qkv], rows)
        self._out = _product(weights, [f"{at}.self_attn.o_proj"], rows)
        self._mlp_norm = weights[f"{at}.post_attention_layernorm.weight"]
        self._gate_up = _product(weights, [f"{at}.mlp.{name}" for name in shape.gate_up], rows)
        self._down = _product(weights, [f"{at}.mlp.down_proj"], rows)

    def __call__(
        self,
        x: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        cache: SlotCache,
    ) -> torch.Tensor:
        """Shapes: x (tokens, width), of one prompt or a token of each busy row."""
        shape = self._shape
        qkv = self._qkv(rms_norm(x, x.shape[1:], self._attention_norm, shape.epsilon))
        qkv = qkv.view(len(x), shape.heads + 2 * shape.key_heads, -1)
        rotate(qkv[:, : shape.heads + shape.key_heads], *turn)
        attend = self._in_prompt if cache.prefilling else self._in_step
        x = x + self._out(attend(qkv, mask, cache))
        gate_up = self._gate_up(rms_norm(x, x.shape[1:], self._mlp_norm, shape.epsilon))
        gate, up = gate_up.chunk(2, 1)
        return x + self._down(silu(gate).mul_(up))

    def _in_prompt(self, qkv: torch.Tensor, mask: torch.Tensor, cache: SlotCache) -> torch.Tensor:
        shape = self._shape
        heads = qkv.transpose(0, 1)[None].split([shape.heads, shape.key_heads, shape.key_heads], 1)
        keys, values = cache.update(self._place, heads[1], heads[2])
        mixed = scaled_dot_product_attention(heads[0], keys, values, mask, enable_gqa=True)
        return mixed[0].transpose(0, 1).reshape(len(qkv), -1)

    def _in_step(self, qkv: torch.Tensor, mask: torch.Tensor, cache: SlotCache) -> torch.Tensor:
        """To the kernel, queries that share a key head are those of several tokens: nothing is copied."""
        shape = self._shape
        queries, *new = qkv.split([shape.heads, shape.key_heads, shape.key_heads], 1)
        keys, values = cache.update(self._place, *(each[:, :, None] for each in new))
        grouped = queries.unflatten(1, (shape.key_heads, -1))
        mixed = scaled_dot_product_attention(grouped, keys, values, mask[:, None, None])
        return mixed.reshape(len(qkv), -1)


def _product(weights: Weights, names: Sequence[str], rows: int) -> Product:
    """The product with the layers of those names, one after another."""
    stacked = torch.cat([weights[f"{name}.weight"] for name in names])
    biases = [weights[f"{name}.bias"] for name in names if f"{name}.bias" in weights]
    return product(stacked, torch.cat(biases) if biases else None, rows)

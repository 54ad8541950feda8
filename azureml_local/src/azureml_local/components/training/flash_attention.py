"""Attention by PyTorch's own kernels, for devices on which they are quicker than plain matrix products."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from azureml_local.components.training.functions import Spans


def flash_attention(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    spans: Spans,
    heads: int,
    key_heads: int,
    window: int | None,
) -> torch.Tensor:
    """As `functions.Attention`, by autograd. A window needs a mask, which no flash kernel takes."""
    tokens = len(qkv)
    rows = qkv.view(tokens, heads + 2 * key_heads, -1)
    queries, keys, values = rows.split([heads, key_heads, key_heads], 1)
    queries, keys = _turned(queries, cos, sin), _turned(keys, cos, sin)
    found = []
    for start, end in spans:
        q, k, v = (each[start:end].transpose(0, 1)[None] for each in (queries, keys, values))
        length = end - start
        windowed = window is not None and window < length
        mask = _window(length, window or 0, qkv.device) if windowed else None
        mixed = scaled_dot_product_attention(q, k, v, mask, is_causal=not windowed, enable_gqa=True)
        found.append(mixed[0].transpose(0, 1).reshape(length, -1))
    return torch.cat(found)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Pairs (i, i + half) of every head turned; x (tokens, heads, width)."""
    half = cos.shape[1]
    first, second, rest = x.split([half, half, x.shape[2] - 2 * half], 2)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], 2)


def _window(length: int, window: int, device: torch.device) -> torch.Tensor:
    places = torch.arange(length, device=device)
    distance = places[:, None] - places[None, :]
    return (distance >= 0) & (distance < window)

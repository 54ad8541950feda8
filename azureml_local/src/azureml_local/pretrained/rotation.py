"""Rotary embeddings: the numbers of a head are turned in pairs, by angles of the token's position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from azureml_local.pretrained.architecture import Architecture


def rotation(
    shape: Architecture, positions: torch.Tensor, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, (tokens, turned / 2), of `positions` (tokens,); of the type and device of `like`."""
    turned = int(shape.head_width * shape.rope_share)
    steps = torch.arange(0, turned, 2, dtype=torch.float32) / turned
    angles = positions[:, None] * shape.rope_base**-steps
    return angles.cos().to(like.device, like.dtype), angles.sin().to(like.device, like.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Turn pairs (i, i + half) of every head in place; x (tokens, heads, width)."""
    half = cos.shape[1]
    first, second = x[..., :half], x[..., half : 2 * half]
    cos, sin = cos[:, None], sin[:, None]
    turned = first * cos
    turned.addcmul_(second, sin, value=-1)
    second.mul_(cos).addcmul_(first, sin)
    first.copy_(turned)

"""The number type that models are computed in on this processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def dtype(precision: str = "16") -> torch.dtype:
    """bfloat16 for precision 16 where the processor multiplies it in hardware; float32 otherwise.

    Elsewhere bfloat16 would be slower than float32.
    """
    import torch

    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if precision == "16" and native else torch.float32

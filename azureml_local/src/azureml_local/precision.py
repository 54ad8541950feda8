"""Where models are computed, and in which number type: on a GPU where there is one, else on the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """The first GPU that PyTorch sees, else the processor; CUDA_VISIBLE_DEVICES hides those not meant."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype(precision: str = "16") -> torch.dtype:
    """bfloat16 for precision 16 where the device multiplies it in hardware; float32 otherwise.

    Elsewhere bfloat16 would be slower than float32.
    """
    import torch

    if device().type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if precision == "16" and native else torch.float32

"""Linear layers with weights packed once for small batches, as oneDNN wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Product = Callable[[torch.Tensor], torch.Tensor]


class PackedLinear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer for inference whose weight is laid out for oneDNN ahead of time.

    Decoding multiplies a few rows by every weight of the model, token after token. PyTorch's own linear
    layer reads the plain layout, which for 2 to 16 rows takes up to three times as long. The operators are
    those that torch.compile's freezing emits.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> None:
        super().__init__()
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        self.bias = bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Shapes as torch.nn.Linear: (…, in) to (…, out)."""
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.weight, self.bias, "none", [], ""
        )
        return output


def product(weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> Product:
    """The product with a weight (out, in), packed for batches of ``rows`` where that is supported."""
    if not supported(weight):
        return lambda inputs: torch.nn.functional.linear(inputs, weight, bias)
    return PackedLinear(weight, bias, rows).forward


def pack(model: torch.nn.Module, rows: int) -> None:
    """Replace every plain linear layer of ``model`` in place; tuned for batches of ``rows``."""
    if not supported(next(model.parameters())):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(module, name, PackedLinear(child.weight.detach(), child.bias, rows))


def supported(weight: torch.Tensor) -> bool:
    """Whether it is on the processor, and oneDNN is built in and multiplies its number type there."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    kind = weight.dtype
    if kind == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(kind == torch.float32)

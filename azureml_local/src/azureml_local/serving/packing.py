"""Linear layers with weights packed once for small batches, as oneDNN wants them."""

from __future__ import annotations

from typing import Any

import torch


class PackedLinear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer for inference whose weight is laid out for oneDNN ahead of time.

    Decoding multiplies a few rows by every weight of the model, token after token. PyTorch's own linear
    layer reads the plain layout, which for 2 to 16 rows takes up to three times as long. The operators are
    those that torch.compile's freezing emits.
    """

    def __init__(self, linear: torch.nn.Linear, rows: int) -> None:
        super().__init__()
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self.bias: torch.Tensor | None = linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Shapes as torch.nn.Linear: (…, in) to (…, out)."""
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.weight, self.bias, "none", [], ""
        )
        return output


def pack(model: torch.nn.Module, rows: int) -> None:
    """Replace every plain linear layer of ``model`` in place; tuned for batches of ``rows``."""
    if not supported(model):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(module, name, PackedLinear(child, rows))


def supported(model: torch.nn.Module) -> bool:
    """Whether the model is on the processor, and oneDNN is built in and multiplies its number type there."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    kind = weight.dtype
    if kind == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(kind == torch.float32)

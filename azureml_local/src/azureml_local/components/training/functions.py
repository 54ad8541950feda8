"""The decoder's operations with backward passes of their own: fewer passes over memory than autograd's.

Rows of a pack are the tokens of several conversations, one after another; `spans` are the conversations'
(start, end). Nothing attends across a span's border, so no token is computed that is only padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.autograd import Function

from azureml_local.pretrained.rotation import rotate

Spans = Sequence[tuple[int, int]]


class RmsNorm(Function):  # type: ignore[misc]
    """x / rms(x) * weight, shape (tokens, width); computed in float32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        wide, wide_gradient = x.float(), gradient.float()
        for_weight = None
        if ctx.needs_input_grad[1]:
            for_weight = (wide * scale).mul_(wide_gradient).sum(0).to(weight.dtype)
        if not ctx.needs_input_grad[0]:
            return None, for_weight, None
        inner = wide_gradient * weight
        dot = (inner * wide).sum(-1, keepdim=True)
        dot.mul_(scale.pow(3)).div_(x.shape[-1])
        return inner.mul_(scale).addcmul_(wide, dot, value=-1).to(x.dtype), for_weight, None


class AdaptedLinear(Function):  # type: ignore[misc]
    """x W^T + b, plus scale * (x A^T) B^T for each of the layers whose rows W stacks.

    Shapes: x (tokens, in); W (sum of outs, in); A (layers * rank, in), or None without adapters; each B
    (out, rank). Adapters may be wider (float32) than the rest.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        down: torch.Tensor | None,
        *ups: torch.Tensor,
    ) -> torch.Tensor:
        y = torch.nn.functional.linear(x, weight, bias)
        ctx.scale, ctx.bias = scale, bias is not None
        if down is None:
            ctx.save_for_backward(x, weight)
            return y
        narrow_down, narrow_ups = down.to(x.dtype), [up.to(x.dtype) for up in ups]
        low = x @ narrow_down.T
        for columns, up, part in _parts(y, narrow_ups, low):
            columns.addmm_(part, up.T, alpha=scale)
        ctx.save_for_backward(x, weight, low, narrow_down, *narrow_ups)
        ctx.adapter_dtype = down.dtype
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, *adapter = ctx.saved_tensors
        for_x = gradient @ weight if ctx.needs_input_grad[0] else None
        for_weight = gradient.T @ x if ctx.needs_input_grad[1] else None
        for_bias = gradient.sum(0) if ctx.bias and ctx.needs_input_grad[2] else None
        if not adapter:
            return for_x, for_weight, for_bias, None, None
        low, down, *ups = adapter
        for_low = torch.empty_like(low)
        for_ups = []
        for (columns, up, part), inner in zip(
            _parts(gradient, ups, low), for_low.split(low.shape[1] // len(ups), 1), strict=True
        ):
            torch.mm(columns, up, out=inner) if inner.is_contiguous() else inner.copy_(columns @ up)
            # The transpose of columns.T @ part: the large matrix is read as it lies in memory.
            for_ups.append((part.T @ columns).T.mul(ctx.scale).to(ctx.adapter_dtype))
        for_low.mul_(ctx.scale)
        if for_x is not None:
            for_x.addmm_(for_low, down)
        for_down = (for_low.T @ x).to(ctx.adapter_dtype)
        return for_x, for_weight, for_bias, None, for_down, *for_ups


def _parts(
    columns: torch.Tensor, ups: Sequence[torch.Tensor], low: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For each stacked layer: its columns, its B, and its columns of x A^T."""
    sizes = [len(up) for up in ups]
    return list(zip(columns.split(sizes, 1), ups, low.split(low.shape[1] // len(ups), 1), strict=True))


class Attention(Function):  # type: ignore[misc]
    """Rotary, causal, grouped-query attention within each span, as plain batched matrix products.

    Shapes: qkv (tokens, (heads + 2 * key_heads) * width); cos and sin (tokens, turned / 2), where the first
    `turned` numbers of each head are turned; result (tokens, heads * width).
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        spans: Spans,
        heads: int,
        key_heads: int,
        window: int | None,
    ) -> torch.Tensor:
        tokens = len(qkv)
        width = qkv.shape[1] // (heads + 2 * key_heads)
        turned = qkv.clone().view(tokens, heads + 2 * key_heads, width)
        rotate(turned[:, : heads + key_heads], cos, sin)
        turned[:, :heads] *= width**-0.5
        result = qkv.new_empty(tokens, heads, width)
        kept = []
        for start, end in spans:
            q, k, v = _grouped(turned[start:end], heads, key_heads)
            scores = torch.bmm(q, k.transpose(1, 2))
            length = end - start
            scores.view(-1, length, length).add_(_mask(length, window, scores.dtype))
            weights = torch.softmax(scores, -1)
            _ungroup(torch.bmm(weights, v), result[start:end])
            kept += [q, k, v, weights]
        ctx.save_for_backward(cos, sin, *kept)
        ctx.spans, ctx.heads, ctx.key_heads, ctx.width = spans, heads, key_heads, width
        return result.view(tokens, heads * width)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin, *kept = ctx.saved_tensors
        heads, key_heads, width = ctx.heads, ctx.key_heads, ctx.width
        tokens = len(gradient)
        gradient = gradient.view(tokens, heads, width)
        result = gradient.new_empty(tokens, heads + 2 * key_heads, width)
        for place, (start, end) in enumerate(ctx.spans):
            q, k, v, weights = kept[4 * place : 4 * place + 4]
            inner = _group(gradient[start:end], key_heads)
            rows = result[start:end]
            rows[:, heads + key_heads :] = torch.bmm(weights.transpose(1, 2), inner).transpose(0, 1)
            for_scores = torch._softmax_backward_data(
                torch.bmm(inner, v.transpose(1, 2)), weights, -1, weights.dtype
            )
            _ungroup(torch.bmm(for_scores, k), rows[:, :heads])
            rows[:, heads : heads + key_heads] = torch.bmm(for_scores.transpose(1, 2), q).transpose(0, 1)
        result[:, :heads] *= width**-0.5
        rotate(result[:, : heads + key_heads], cos, -sin)
        return result.view(tokens, -1), None, None, None, None, None, None


def _grouped(
    rows: torch.Tensor, heads: int, key_heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries (key heads, group * tokens, width), keys and values (key heads, tokens, width)."""
    keys = rows[:, heads : heads + key_heads].transpose(0, 1).contiguous()
    values = rows[:, heads + key_heads :].transpose(0, 1).contiguous()
    return _group(rows[:, :heads], key_heads), keys, values


def _group(rows: torch.Tensor, key_heads: int) -> torch.Tensor:
    """(tokens, heads, width) as (key heads, group * tokens, width): a key head's queries are one matrix."""
    tokens, _, width = rows.shape
    return rows.view(tokens, key_heads, -1, width).permute(1, 2, 0, 3).reshape(key_heads, -1, width)


def _ungroup(grouped: torch.Tensor, rows: torch.Tensor) -> None:
    """Write what `_group` would have made of `rows` back to them."""
    tokens, _, width = rows.shape
    key_heads = len(grouped)
    rows.view(tokens, key_heads, -1, width).copy_(
        grouped.view(key_heads, -1, tokens, width).permute(2, 0, 1, 3)
    )


@lru_cache(maxsize=512)
def _mask(length: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    allowed = torch.ones(length, length, dtype=torch.bool).tril_()
    if window is not None:
        allowed &= torch.ones_like(allowed).triu_(1 - window)
    return torch.zeros(length, length, dtype=dtype).masked_fill_(~allowed, -torch.inf)


class SwiGlu(Function):  # type: ignore[misc]
    """silu(gate) * up of (tokens, 2 * width), gates first; (tokens, width)."""

    @staticmethod
    def forward(ctx: Any, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up.chunk(2, 1)
        ctx.save_for_backward(gate_up)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, 1)
        result = torch.empty_like(gate_up)
        for_gate, for_up = result.chunk(2, 1)
        torch.mul(torch.nn.functional.silu(gate), gradient, out=for_up)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=for_gate)
        return result


class CrossEntropy(Function):  # type: ignore[misc]
    """Sum of the cross entropies of hidden states (rows, width) against their next tokens.

    The logits of a few rows exist at a time; their gradients are taken while they are at hand.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), chunk):
            rows = slice(start, start + chunk)
            wanted = targets[rows, None]
            logs = torch.log_softmax((hidden[rows] @ head.T).float(), -1)
            total -= logs.gather(1, wanted).sum()
            if for_hidden is None and for_head is None:
                continue
            difference = logs.exp_()
            difference.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=difference.dtype))
            narrow = difference.to(hidden.dtype)
            if for_hidden is not None:
                torch.mm(narrow, head, out=for_hidden[rows])
            if for_head is not None:
                for_head.addmm_(narrow.T, hidden[rows])
        ctx.save_for_backward(for_hidden, for_head)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        factor = gradient.item()
        found = [None if kept is None else kept * factor for kept in ctx.saved_tensors]
        return found[0], found[1], None, None

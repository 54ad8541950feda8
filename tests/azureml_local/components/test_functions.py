"""Gradients of the training's own operations against autograd's and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from azureml_local.components.training.flash_attention import flash_attention
from azureml_local.components.training.functions import (
    AdaptedLinear,
    Attention,
    CrossEntropy,
    RmsNorm,
    SwiGlu,
)

SPANS = ((0, 5), (5, 6), (6, 17))


@pytest.fixture
def random() -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def make(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    return make


def assert_same(ours: Any, reference: Any, inputs: list[torch.Tensor]) -> None:
    """Equal values, and equal gradients for a random gradient of the result."""
    torch.testing.assert_close(ours.double(), reference.double())
    gradient = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = torch.autograd.grad(ours, inputs, gradient.to(ours.dtype))
    wanted = torch.autograd.grad(reference, inputs, gradient.to(reference.dtype))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def plain_attention(qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, window: int | None) -> Any:
    """6 heads, 2 key heads; rotary embedding as transformers writes it, attention as PyTorch's."""
    tokens, width = len(qkv), qkv.shape[1] // 10
    q, k, v = qkv.view(tokens, 10, width).split([6, 2, 2], 1)

    def turned(x: torch.Tensor) -> torch.Tensor:
        half = cos.shape[1]
        part, rest = x[..., : 2 * half], x[..., 2 * half :]
        swapped = torch.cat([-part[..., half:], part[..., :half]], -1)
        wide_cos, wide_sin = torch.cat([cos, cos], 1)[:, None], torch.cat([sin, sin], 1)[:, None]
        return torch.cat([part * wide_cos + swapped * wide_sin, rest], -1)

    q, k = turned(q), turned(k)
    results = []
    for start, end in SPANS:
        one_q, one_k, one_v = (x[start:end].transpose(0, 1) for x in (q, k, v))
        allowed = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        if window is not None:
            allowed &= torch.ones_like(allowed).triu(1 - window)
        one = F.scaled_dot_product_attention(
            one_q, one_k.repeat_interleave(3, 0), one_v.repeat_interleave(3, 0), attn_mask=allowed
        )
        results.append(one.transpose(0, 1))
    return torch.cat(results).reshape(tokens, -1)


@pytest.mark.slow
@pytest.mark.parametrize("attend", [Attention.apply, flash_attention], ids=["products", "PyTorch's kernel"])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("turned", [8, 4], ids=["all turned", "half turned"])
def test_attention(
    random: Callable[..., torch.Tensor], window: int | None, turned: int, attend: Callable[..., torch.Tensor]
) -> None:
    qkv = random(17, 10 * 8)
    angles = torch.rand(17, turned // 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 6
    cos, sin = angles.cos(), angles.sin()
    ours = attend(qkv, cos, sin, SPANS, 6, 2, window)
    assert_same(ours, plain_attention(qkv, cos, sin, window), [qkv])


def test_no_conversation_sees_another(random: Callable[..., torch.Tensor]) -> None:
    qkv, angles = random(17, 80).detach(), torch.zeros(17, 4, dtype=torch.float64)
    changed = qkv.clone()
    changed[6:] += 1
    before, after = (
        Attention.apply(x, angles.cos(), angles.sin(), SPANS, 6, 2, None) for x in (qkv, changed)
    )
    torch.testing.assert_close(before[:6], after[:6], rtol=0, atol=0)


def test_norm(random: Callable[..., torch.Tensor]) -> None:
    x, weight = random(7, 12).float().detach().requires_grad_(), random(12).float().detach().requires_grad_()
    assert_same(RmsNorm.apply(x, weight, 1e-5), F.rms_norm(x, (12,), weight, 1e-5), [x, weight])


def test_feed_forward_gate(random: Callable[..., torch.Tensor]) -> None:
    x = random(7, 20)
    assert_same(SwiGlu.apply(x), F.silu(x[:, :10]) * x[:, 10:], [x])


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("sizes", [(5,), (6, 2, 2)], ids=["one layer", "three layers"])
def test_adapted_linear(random: Callable[..., torch.Tensor], sizes: tuple[int, ...], biased: bool) -> None:
    x, weight, down = random(7, 4), random(sum(sizes), 4), random(3 * len(sizes), 4)
    ups = [random(size, 3) for size in sizes]
    bias = random(sum(sizes)) if biased else None
    reference = F.linear(x, weight, bias) + 0.5 * torch.cat(
        [x @ part.T @ up.T for part, up in zip(down.split(3), ups, strict=True)], 1
    )
    inputs = [x, weight, down, *ups, *([bias] if bias is not None else [])]
    assert_same(AdaptedLinear.apply(x, weight, bias, 0.5, down, *ups), reference, inputs)


@pytest.mark.parametrize("chunk", [2, 100])
def test_cross_entropy(random: Callable[..., torch.Tensor], chunk: int) -> None:
    hidden, head = (random(*shape).float().detach().requires_grad_() for shape in ((7, 6), (11, 6)))
    targets = torch.randint(11, (7,), generator=torch.Generator().manual_seed(4))
    ours = CrossEntropy.apply(hidden, head, targets, chunk)
    assert_same(ours, F.cross_entropy(hidden @ head.T, targets, reduction="sum"), [hidden, head])


def test_nothing_is_computed_for_what_is_frozen(random: Callable[..., torch.Tensor]) -> None:
    x, weight = random(7, 4).detach(), random(5, 4).detach()
    down, up = random(3, 4), random(5, 3)
    result: Any = AdaptedLinear.apply(x, weight, None, 1.0, down, up)
    result.sum().backward()
    assert x.grad is None
    assert weight.grad is None
    assert down.grad is not None
    assert up.grad is not None

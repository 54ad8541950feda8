"""Learning-rate schedules, as the Trainer of Hugging Face defines them."""

from __future__ import annotations

import math

_POLYNOMIAL_END = 1e-7


def rate(kind: str, peak: float, step: int, warmup: int, total: int) -> float:
    """The learning rate of optimiser step `step`, counted from 0, of `total`."""
    if kind == "constant":
        return peak
    if step < warmup:
        return peak * step / warmup
    if kind == "constant_with_warmup":
        return peak
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    if kind == "linear":
        return peak * (1 - done)
    if kind == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    if kind == "cosine_with_restarts":  # one cycle, which is all the pipeline offers
        return 0.0 if done >= 1 else peak * 0.5 * (1 + math.cos(math.pi * (done % 1)))
    if kind == "polynomial":
        return _POLYNOMIAL_END + (peak - _POLYNOMIAL_END) * (1 - done)
    raise ValueError(f"There is no schedule {kind!r}.")

"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings


def examples(number: int) -> int:
    """So many in the whole suite, and a share of them where the profile has less than hypothesis' hundred."""
    return max(1, number * settings().max_examples // 100)

"""The recipe of the tiny component: the whole flow in seconds."""

from __future__ import annotations

from pathlib import Path

from flows.run.config import Finetune, apply, document, parse
from tests.support.checkout import TINY

RECIPE = TINY / "recipe.yaml"
# A change that lets no model pass: it is trained and registered, and nothing is served.
UNSERVED = 'gate.rules=["eval_loss <= 0.1"]'


def tiny_config(data: Path, *changes: str) -> Finetune:
    """The tiny recipe with its prepared data below `data`."""
    return parse(apply(document(RECIPE), [f"data.directory={data}", *changes]), "tiny")

"""The whole flow in seconds: the recipe of the tiny component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.run.config import Finetune, apply, document, parse
from tests.support.checkout import TINY

RECIPE = TINY / "recipe.yaml"

MakeConfig = Callable[..., Finetune]


@pytest.fixture
def config(environment: dict[str, str], tiny: str, tmp_path: Path) -> MakeConfig:
    """Makes the tiny recipe's configuration, with changes such as `deploy.instance_count=2`.

    Equal configurations adopt each other's jobs: a test that wants one of its own takes other rows.
    """
    return lambda *changes: tiny_config(tmp_path / "data", *changes)


def tiny_config(data: Path, *changes: str) -> Finetune:
    """The tiny recipe with its prepared data below `data`."""
    return parse(apply(document(RECIPE), [f"data.directory={data}", *changes]), "tiny")

"""The whole flow in seconds: the recipe of the tiny component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.run.config import Finetune
from tests.support.tiny_recipe import tiny_config

MakeConfig = Callable[..., Finetune]


@pytest.fixture
def config(environment: dict[str, str], tiny: str, tmp_path: Path) -> MakeConfig:
    """Makes the tiny recipe's configuration, with changes such as `deploy.instance_count=2`.

    Equal configurations reuse each other's jobs: a test that wants one of its own takes other rows.
    """
    return lambda *changes: tiny_config(tmp_path / "data", *changes)

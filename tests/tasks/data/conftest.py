from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.data import PreparedData, attempts
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tasks.data.window import Window
from tests.tasks.data.conversations import write_parquet

Preparing = Callable[..., PreparedData]
UNKNOWN = Window()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of parquet files."""
    (tmp_path / "set").mkdir()
    return write_parquet(tmp_path / "set")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where prepared data goes."""
    return tmp_path / "prepared"


@pytest.fixture
def prepared(output: Path) -> Preparing:
    """Prepare a dataset, all rows of both splits unless said otherwise."""

    def run(dataset: object, window: Window = UNKNOWN, **fields: Any) -> PreparedData:
        whole: dict[str, Any] = {
            "train": {"name": "train_sft", "take": "100%"},
            "test": {"name": "test_sft", "take": "100%"},
            "directory": output,
        }
        return prepare(Data(dataset=str(dataset), **(whole | fields)), window=window)

    return run


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken connections are tried again at once."""
    monkeypatch.setattr(attempts, "DELAY", 0.0)

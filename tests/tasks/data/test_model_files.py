"""The base model's window and tokenizer, from its files in the registry, kept, or from its name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import Model

from tasks.azure.clients import Session
from tasks.base_model import Base, find_model
from tasks.data import Window, model_files
from tasks.data.model_files import nearest
from tests.conftest import LetFail

TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
        "added_tokens": [],
    }
)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept."""
    monkeypatch.setattr(model_files, "cache", lambda: tmp_path / "kept")
    return tmp_path / "kept"


def register(client: Any, folder: Path, name: str, files: dict[str, str]) -> None:
    for path, content in files.items():
        (folder / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / path).write_text(content)
    client.models.create_or_update(
        Model(name=name, version="1", path=str(folder / "model"), type="custom_model")
    )


def window(session: Session, name: str) -> Window:
    return find_model.fn(session, Base(name=name, allow_retired=True)).window


@pytest.mark.slow
def test_the_shipped_models_window_and_tokenizer(session: Session) -> None:
    found = window(session, "SmolLM2-135M-Instruct")
    assert (found.limit, found.source) == (8192, "the model's config.json")
    assert found.tokenizer is not None
    assert json.loads(Path(found.tokenizer).read_text())["model"]["type"] == "BPE"


def test_only_the_two_files_come_and_they_come_once(
    session: Session, registry_client: Any, tmp_path: Path, kept: Path, let_fail: LetFail
) -> None:
    config = json.dumps({"text_config": {"max_position_embeddings": 1234}})
    files = {
        "model/config.json": config,
        "model/tokenizer.json": TOKENIZER,
        "model/model.safetensors": "weights",
        "tokenizer/config.json": "{}",
    }
    register(registry_client, tmp_path, "two-files", files)
    first = window(session, "two-files")
    assert first.limit == 1234
    assert sorted(file.name for file in kept.rglob("*") if file.is_file()) == [
        "config.json",
        "tokenizer.json",
    ]
    let_fail({"kind": "status", "method": "POST", "path": "**/datarefs/**", "status": 404})
    assert window(session, "two-files") == first


@pytest.mark.parametrize("status", [403, 404])
def test_what_cannot_be_had_is_said_and_the_name_tells(
    session: Session,
    registry_client: Any,
    tmp_path: Path,
    let_fail: LetFail,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    name = f"Refused-{status}-4K-instruct"
    register(registry_client, tmp_path, name, {"config.json": "{}", "tokenizer.json": TOKENIZER})
    let_fail({"kind": "status", "method": "POST", "path": "**/datarefs/**", "status": status})
    with caplog.at_level(logging.INFO, "finetune"):
        found = window(session, name)
    assert (found.limit, found.source, found.tokenizer) == (4096, "the model's name", None)
    assert "files cannot be read" in found.estimated
    assert "Tokens will be estimated" in caplog.text


def test_files_that_are_missing_or_broken_are_no_obstacle(
    session: Session, registry_client: Any, tmp_path: Path, kept: Path
) -> None:
    register(registry_client, tmp_path / "a", "without-tokenizer-128k", {"config.json": "{}"})
    found = window(session, "without-tokenizer-128k")
    assert (found.limit, found.estimated) == (131_072, "the model has no tokenizer.json")
    register(registry_client, tmp_path / "b", "broken", {"config.json": "[", "tokenizer.json": "{"})
    found = window(session, "broken")
    assert (found.limit, found.tokenizer) == (None, None)
    assert not list(kept.rglob("*broken*/*"))


@pytest.mark.slow
def test_an_expired_token_is_no_missing_file(session: Session, let_fail: LetFail) -> None:
    let_fail({"kind": "status", "method": "POST", "path": "**/datarefs/**", "status": 401, "count": 1})
    assert window(session, "SmolLM2-135M-Instruct").limit == 8192


@pytest.mark.slow
def test_without_the_package_tokens_are_estimated(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    found = window(session, "SmolLM2-135M-Instruct")
    assert (found.limit, found.tokenizer) == (8192, None)
    assert "uv sync --extra local" in found.estimated


def test_the_folder_that_has_both_files_comes_first() -> None:
    both = ["config.json", "tokenizer.json"]
    assert nearest(["a/config.json", "a/b/config.json", "a/b/tokenizer.json"], both) == {
        "config.json": "a/b/config.json",
        "tokenizer.json": "a/b/tokenizer.json",
    }
    apart = ["m/data/model/config.json", "m/data/tokenizer/x/tokenizer.json", "m/z/deep/er/config.json"]
    assert nearest(apart, both) == {"config.json": apart[0], "tokenizer.json": apart[1]}
    assert nearest(["weights.bin"], both) == {}

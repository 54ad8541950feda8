"""Models of the user's own: what the file may say, and how the registry offers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from azureml_local import switch
from azureml_local.catalogue import models
from azureml_local.catalogue.models import UNTRAINABLE_TAG
from azureml_local.catalogue.own_models import MODELS_VARIABLE, BadModels, own_models
from azureml_local.catalogue.weights import own_weights
from azureml_local.server import CannotServe

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 16,
}


def weights(folder: Path, **config: Any) -> Path:
    """What of a model in Hugging Face's format is looked at."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def name(patch: pytest.MonkeyPatch, folder: Path, listed: Any) -> None:
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump(listed))
    patch.setenv(MODELS_VARIABLE, str(file))


def test_a_folder_is_offered_under_its_name_with_its_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights(tmp_path / "mine", **LLAMA)
    tags = {"license": "mit", "model_specific_defaults": '{"learning_rate": 0.001}'}
    # The folder by its place beside the file.
    name(monkeypatch, tmp_path, [{"name": "Mine-1B", "weights": "mine", "version": 2, "tags": tags}])
    (entry,) = (each for each in models() if each.name == "Mine-1B")
    assert entry.version == "2"
    assert entry.properties["tags"].items() >= tags.items()
    assert "finetune_compute_allow_list" in entry.properties["tags"]
    assert UNTRAINABLE_TAG not in entry.properties["tags"]
    assert own_weights("Mine-1B") == folder


def test_what_the_engine_cannot_train_says_so_where_it_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights(tmp_path / "bert", **{**LLAMA, "model_type": "bert"})
    weights(tmp_path / "half", model_type="llama")
    name(monkeypatch, tmp_path, [{"name": each, "weights": each} for each in ("bert", "half")])
    reasons = {each.name: each.properties["tags"].get(UNTRAINABLE_TAG, "") for each in models()}
    assert "type 'bert'" in reasons["bert"]
    assert "num_attention_heads" in reasons["half"]
    assert not reasons["SmolLM2-135M-Instruct"]


def test_one_takes_the_place_of_a_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(tmp_path / "phi", **LLAMA)
    name(monkeypatch, tmp_path, [{"name": "Phi-4", "weights": "phi", "version": "8"}])
    assert [each.version for each in models() if each.name == "Phi-4"] == ["8"]


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ("text", "a list of models"),
        ([{"name": "a"}], "needs a name and the folder"),
        ([{"name": "a", "weights": "ok", "size": 3}], "size: known are"),
        ([{"name": "a b", "weights": "ok"}], "letters, digits"),
        ([{"name": "a", "weights": "nowhere"}], "lack config.json, tokenizer.json, "),
        ([{"name": "a", "weights": "ok", "tags": "x"}], "tags of a must be"),
        ([{"name": "a", "weights": "ok"}, {"name": "a", "weights": "ok"}], "names a more than once"),
    ],
)
def test_a_file_that_cannot_be_followed_is_told_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: Any, why: str
) -> None:
    weights(tmp_path / "ok", **LLAMA)
    name(monkeypatch, tmp_path, listed)
    with pytest.raises(BadModels, match=why):
        own_models()


@pytest.mark.slow
def test_the_workspace_does_not_start_with_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "missing.yaml"))
    with pytest.raises(CannotServe, match="missing.yaml"), switch.joined(tmp_path / "state"):
        pass

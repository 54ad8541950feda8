"""Models on this machine: what is got, that it is whole, and that the lines load it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.download import SUMS, Downloaded, Part, Wanted, chosen, download
from tests.support.failures import fails
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow chat model with merged weights and the adapter that they were merged from; random numbers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("chat") / "mlflow_model_folder"
    base = folder.parent / "base"
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, max_position_embeddings=32, **shape))
    model.save_pretrained(base)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    tuned.save_pretrained(folder / "artifacts" / "adapter")
    tuned.merge_and_unload().save_pretrained(folder / "artifacts" / "model")
    PreTrainedTokenizerFast(tokenizer_object=words()).save_pretrained(folder / "artifacts" / "model")
    (folder / "MLmodel").write_text("flavors: {}\n")
    return folder


def words() -> object:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"[UNK]": 0, "moon": 1}, unk_token="[UNK]"))


@pytest.mark.slow
# peft asks transformers by a name that the latter is about to give up.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_weights_and_adapter_load_by_their_lines_and_are_the_same_model(
    session: Session, chat_model: Path, tmp_path: Path
) -> None:
    name = registered(session, chat_model)
    base = str(chat_model.parent / "base")
    merged = got(session, Wanted(model=f"{name}:1", part=Part.MERGED, folder=tmp_path / "merged"))
    adapter = got(session, Wanted(model=name, part=Part.ADAPTER, folder=tmp_path / "adapter", base=base))
    assert "MLmodel" not in merged.files
    assert set(adapter.files) >= {"adapter_config.json", "adapter_model.safetensors"}
    same = (
        "import torch",
        *merged.lines,
        "merged = model.state_dict()",
        *adapter.lines,
        "tuned = model.merge_and_unload().state_dict()",
        "assert all(torch.allclose(tuned[name], value) for name, value in merged.items())",
        "assert tokenizer('moon').input_ids == [1]",
    )
    run(*same)

    # A file that has changed on the way or since is got again, and no other.
    weights = tmp_path / "merged" / "model.safetensors"
    whole, moment = weights.read_bytes(), (tmp_path / "merged" / "config.json").stat().st_mtime_ns
    weights.write_bytes(whole[:-1] + b"?")
    assert got(session, Wanted(model=name, part=Part.MERGED, folder=tmp_path / "merged")) == merged
    assert weights.read_bytes() == whole
    assert (tmp_path / "merged" / "config.json").stat().st_mtime_ns == moment


@pytest.mark.slow
def test_the_whole_model_loads_with_mlflow(session: Session, tiny: str, tmp_path: Path) -> None:
    by_id = f"azureml://registries/azureml/models/{tiny}/versions/1"
    done = got(session, Wanted(model=by_id, part=Part.WHOLE, folder=tmp_path / "whole"))
    assert done.model == f"{tiny}:1"
    run(*done.lines)


def test_what_is_not_there_is_said(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    name = registered(session, folder)
    with fails(Cause.NOT_FOUND, name, "no adapter", "pytorch_model_folder"):
        got(session, Wanted(model=name, part=Part.ADAPTER, folder=tmp_path / "a"))
    with fails(Cause.NOT_FOUND, "no model 'nobody:1'"):
        got(session, Wanted(model="nobody:1", part=Part.WHOLE, folder=tmp_path / "b"))


def got(session: Session, wanted: Wanted) -> Downloaded:
    done = download(session, wanted, lambda path, size: None)
    listed = [line.split("  ") for line in (wanted.folder / SUMS).read_text().splitlines()]
    sums = {path: digest for digest, path in listed}
    assert sums == done.files
    for path, digest in sums.items():
        assert hashlib.sha256((wanted.folder / path).read_bytes()).hexdigest() == digest
    return done


def registered(session: Session, folder: Path) -> str:
    from azure.ai.ml.entities import Model

    name = f"m-{uuid4().hex[:10]}"
    model = Model(name=name, version="1", path=str(folder), type="mlflow_model")
    clients.workspace(session).models.create_or_update(model)
    return name


def run(*lines: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_of_azures_layout_weights_and_tokenizer_are_put_into_one_folder() -> None:
    # By azureml-assets' converter for models of the kind hftransformersv2.
    files = ("config/config.json", "model/config.json", "model/model.safetensors", "tokenizer/tokenizer.json")
    blobs = dict.fromkeys(["m/MLmodel", *(f"m/data/{file}" for file in files)])
    assert chosen(blobs, Part.MERGED, "m:1") == {
        "config.json": "m/data/model/config.json",
        "model.safetensors": "m/data/model/model.safetensors",
        "tokenizer.json": "m/data/tokenizer/tokenizer.json",
    }

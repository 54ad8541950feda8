"""A tiny random model with a tokenizer of the sample's, made in a fraction of a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from azureml_local.components.tokenized import Tokenized
from azureml_local.components.training.parameters import Parameters
from tasks.data import sample

TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

# What each kind of model that can be trained has of its own.
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "mistral": {"sliding_window": 20},
    "qwen2": {},
    "phi3": {"sliding_window": 30, "original_max_position_embeddings": 256, "tie_word_embeddings": False},
}


def sample_rows(path: Path, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[:count]]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder; not to be written to."""
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = write_tokenizer(folder)
    write_model(folder, {**CONFIG, "vocab_size": vocabulary})
    return folder


def write_tokenizer(folder: Path) -> int:
    """Train a tokenizer on the sample; its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [m["content"] for row in sample_rows(sample.TRAIN, 200) for m in row["messages"]]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    size: int = tokenizer.get_vocab_size()
    return size


def write_model(folder: Path, config: dict[str, Any], *, biased: bool = False, fused: bool = False) -> None:
    """Random weights for a configuration, under the names and shapes of its model type."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(7)
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = width // config["num_attention_heads"]
    key_width = head * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for place in range(config["num_hidden_layers"]):
        at = f"model.layers.{place}"
        attention = {"q_proj": width, "k_proj": key_width, "v_proj": key_width}
        if fused:
            attention = {"qkv_proj": width + 2 * key_width}
        for name, size in attention.items():
            shapes[f"{at}.self_attn.{name}.weight"] = (size, width)
            if biased:
                shapes[f"{at}.self_attn.{name}.bias"] = (size,)
        shapes[f"{at}.self_attn.o_proj.weight"] = (width, width)
        gates = {"gate_up_proj": 2 * inner} if fused else {"gate_proj": inner, "up_proj": inner}
        for name, size in gates.items():
            shapes[f"{at}.mlp.{name}.weight"] = (size, width)
        shapes[f"{at}.mlp.down_proj.weight"] = (width, inner)
        shapes[f"{at}.input_layernorm.weight"] = (width,)
        shapes[f"{at}.post_attention_layernorm.weight"] = (width,)
    shapes["model.norm.weight"] = (width,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    tensors = {
        name: torch.empty(shape).normal_(
            1.0 if name.endswith("norm.weight") else 0.0, 0.15, generator=generator
        )
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))


def write_model_of_kind(folder: Path, kind: str, *, vocabulary: int) -> None:
    """Random weights of one of `KINDS`."""
    config = {**CONFIG, "model_type": kind, "vocab_size": vocabulary, "use_cache": False, **KINDS[kind]}
    del config["architectures"]
    write_model(folder, config, biased=kind == "qwen2", fused=kind == "phi3")


@pytest.fixture(scope="session")
def data(tiny: Path) -> tuple[Tokenized, Tokenized]:
    """Training and validation conversations of the sample."""
    from azureml_local.components.chat_template import ChatTemplate

    template = ChatTemplate(tiny)
    rows = [row["messages"] for row in sample_rows(sample.TRAIN, 30)]
    return Tokenized.of(template.encode(rows[:20]), 120), Tokenized.of(template.encode(rows[20:]), 120)


@pytest.fixture
def parameters() -> Callable[..., Parameters]:
    """Parameters of a run, with what a test says in place of the pipeline's defaults."""
    from azureml_local.components import interface
    from azureml_local.components.arguments import parse

    def make(**changes: Any) -> Parameters:
        given = {"apply_lora": "true", "enable_full_determinism": "true", "learning_rate": "0.01", **changes}
        arguments = [f"--{name}={value}" for name, value in given.items()]
        needed = ["--preprocess_output=.", "--model_selector_output=."]
        return Parameters.of(parse("", interface.FINETUNE_INPUTS, {}, [*arguments, *needed]))

    return make

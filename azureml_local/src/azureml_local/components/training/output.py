"""The trained model as a Hugging Face folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from azureml_local.components.training.decoder import Decoder
from azureml_local.components.training.names import ADAPTER, RECORD
from azureml_local.components.training.parameters import Parameters

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def write(decoder: Decoder, parameters: Parameters, base: Path, folder: Path) -> None:
    """Write weights, configuration and tokenizer to `folder`, and the adapter, as PEFT does, below it.

    The weights are those with the adapter added, or with `merge_lora_weights` off the base model's own.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    merged = parameters.merge_lora_weights or not parameters.apply_lora
    for file in base.iterdir():
        if file.is_file() and not (merged and (file.suffix == ".safetensors" or file.name == _INDEX)):
            shutil.copyfile(file, folder / file.name)
    if merged:
        dtype = _stored_dtype(base)
        tensors = {name: value.to(dtype).contiguous() for name, value in decoder.tensors()}
        save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / RECORD).write_text(json.dumps({"merged": merged, **asdict(parameters)}, indent=1) + "\n")
    if parameters.apply_lora:
        _write_adapter(decoder, parameters, base, folder / ADAPTER)


def merge(model: Path, adapter: Path, folder: Path) -> None:
    """Write to `folder` the weights of `model` with the adapter in `adapter` added."""
    from safetensors.torch import load_file, save_file

    config = json.loads((adapter / "adapter_config.json").read_text())
    low_rank = load_file(adapter / "adapter_model.safetensors")
    for file in model.glob("*.safetensors"):
        tensors = load_file(file)
        for name, weight in tensors.items():
            prefix = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{prefix}.lora_A.weight" in low_rank:
                added = low_rank[f"{prefix}.lora_B.weight"] @ low_rank[f"{prefix}.lora_A.weight"]
                added *= config["lora_alpha"] / config["r"]
                tensors[name] = (weight.float() + added).to(weight.dtype)
        save_file(tensors, folder / file.name, metadata={"format": "pt"})


def _stored_dtype(base: Path) -> torch.dtype:
    """The number type that the base model's configuration names."""
    config = json.loads((base / "config.json").read_text())
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _write_adapter(decoder: Decoder, parameters: Parameters, base: Path, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    tensors, modules = {}, set()
    for linear in decoder.linears():
        for name, down, up in linear.adapters():
            tensors[f"base_model.model.{name}.lora_A.weight"] = down.contiguous()
            tensors[f"base_model.model.{name}.lora_B.weight"] = up.contiguous()
            modules.add(name.rsplit(".", 1)[1])
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "r": parameters.lora_r,
        "lora_alpha": parameters.lora_alpha,
        "lora_dropout": parameters.lora_dropout,
        "target_modules": sorted(modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")

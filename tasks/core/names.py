"""Names that follow from inputs: equal inputs find what was made before, other inputs never collide."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any


def fingerprint(**inputs: Any) -> str:
    """Twelve hexadecimal digits that stand for everything that shapes the result."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def job_name(model: str, digest: str, attempt: int, fresh: str | None) -> str:
    """The name of the job that trains.

    A later `attempt` follows one that failed; `fresh` is the flow run that asked for a job of its own.
    """
    parts = [_slug(model, 40), digest]
    if fresh:
        parts.append(f"r{_slug(fresh, 64).replace('-', '')[:12]}")
    if attempt > 1:
        parts.append(str(attempt))
    return "-".join(parts)


def experiment_name(model: str) -> str:
    """The experiment that a model's jobs are listed under: letters, digits, _ and -, at most 256 of them."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"chat_completion_{model}")[:256]


def dataset_name(source: str) -> str:
    """The data's name within other names: the last part of where it comes from."""
    return source.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".jsonl") or "data"


def model_name(base: str, dataset: str) -> str:
    """A registered model's name: letters, digits, dots, dashes and underscores, at most 255 of them."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{base}-{dataset}").strip("-._")
    return name[:255] or "model"


def endpoint_name(dataset: str, job: str, workspace_id: str) -> str:
    """An endpoint's name for a job's model: at most 32 characters, and unique within a region.

    The workspace is part of it, as another workspace of the region may have trained the same.
    """
    digest = hashlib.sha256(f"{workspace_id.casefold()}/{job}".encode()).hexdigest()
    ten = str(int(digest[:12], 16) % 10**10).zfill(10)
    stem = _slug(dataset, 10) or "chat"
    if not stem[0].isalpha():
        stem = "c" + stem[:9]
    return f"{stem.strip('-')}-completion-{ten}"


def suffixed(name: str, run: str) -> str:
    """Another name for an endpoint of that run, where its own cannot be had: at most 32 characters."""
    return f"{name[:25].rstrip('-')}-{hashlib.sha256(run.encode()).hexdigest()[:6]}"


def effective_batch(parameters: Mapping[str, Any], gpus: int, nodes: int) -> int:
    """Rows between two updates of the weights, over all GPUs."""
    rows = int(parameters.get("per_device_train_batch_size", 1))
    return rows * int(parameters.get("gradient_accumulation_steps", 1)) * max(gpus, 1) * nodes


def display_name(model: str, dataset: str, parameters: dict[str, Any], gpus: int, nodes: int) -> str:
    """What the studio lists the job as: the choices that most shape it."""
    batch = effective_batch(parameters, gpus, nodes)
    deepspeed = parameters.get("apply_deepspeed") == "true"
    return "-".join(
        [
            model.replace("/", "-"),
            dataset,
            f"bs{batch}",
            str(parameters.get("lr_scheduler_type", "linear")),
            f"ds{parameters.get('deepspeed_stage', '2')}" if deepspeed else "nods",
            "lora" if parameters.get("apply_lora") == "true" else "nolora",
            f"save_limit{parameters.get('save_total_limit', -1)}",
            f"seqlen{parameters.get('max_seq_length', -1)}",
        ]
    )


def _slug(text: str, length: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:length].strip("-")

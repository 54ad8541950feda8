"""Tokens a second of the fine-tuning step, beside Hugging Face's Trainer.

Same model, conversations, LoRA configuration, batch, number type and threads; each way in a process of its
own, in turns: ``python -m benchmarks.train``. Padding counts for nothing: tokens are those of the data.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MODEL, VERSION = "SmolLM2-135M-Instruct", "1"
RANK, ALPHA, RATE = 8, 16, 3e-3
LONGEST = 256  # tokens a conversation
WAYS = ("ours", "trainer")


def main() -> None:
    """Print a table, a line a way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run")
    parser.add_argument("--steps", type=int, default=6, help="optimiser steps measured")
    parser.add_argument("--batch", type=int, default=4, help="conversations a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("16", "32"), default="16", help="16 where the processor can")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(_ours(arguments) if arguments.way == "ours" else _trainer(arguments)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        arguments.data = Path(scratch)
        _prepare(arguments.data)
        _compare(arguments)


def _compare(arguments: argparse.Namespace) -> None:
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            results[way].append(_run(way, arguments))
    print("| way | number type | tokens/s, median | best | loss, first to last step | peak GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way, name in zip(WAYS, ("our step", "transformers' Trainer with PEFT"), strict=True):
        speeds = [result["speed"] for result in results[way]]
        last = results[way][-1]
        print(
            f"| {name} | {last['dtype']} | {statistics.median(speeds):.0f} | {max(speeds):.0f} "
            f"| {last['losses'][0]:.2f} → {last['losses'][-1]:.2f} "
            f"| {max(result['peak_gb'] for result in results[way]):.1f} |"
        )
    pairs = zip(results["ours"], results["trainer"], strict=True)
    ratios = [ours["speed"] / trainer["speed"] for ours, trainer in pairs]
    print(f"\n{statistics.median(ratios):.2f} × (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def _run(way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    options = ("steps", "batch", "threads", "precision", "data")
    command = [sys.executable, "-m", "benchmarks.train", "--way", way]
    for option in options:
        command += [f"--{option}", str(getattr(arguments, option))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _prepare(folder: Path) -> None:
    """Unpack the model and encode the sample, once for all runs."""
    from azureml_local.catalogue import materialise
    from azureml_local.components import conversations
    from azureml_local.components.chat_template import ChatTemplate
    from azureml_local.components.tokenized import Tokenized
    from tasks.data.sample import TRAIN

    model = materialise(MODEL, VERSION, folder / "cache") / "artifacts" / "model"
    (folder / "model").symlink_to(model)
    encoded = ChatTemplate(model).encode(conversations.read(TRAIN))
    Tokenized.of(encoded, LONGEST).save(folder / "train.npz")


def _ours(arguments: argparse.Namespace) -> dict[str, Any]:
    from azureml_local import precision
    from azureml_local.components.training import processor

    processor.keep_memory()
    processor.wait_without_spinning()
    import torch

    from azureml_local.components.tokenized import Tokenized
    from azureml_local.components.training.decoder import Decoder
    from azureml_local.components.training.loop import Training

    torch.set_num_threads(arguments.threads)
    dtype = precision.dtype(arguments.precision)
    decoder = Decoder.load(arguments.data / "model", dtype)
    decoder.adapt(RANK, ALPHA, 0.0, 0)
    data = Tokenized.load(arguments.data / "train.npz")
    clock = _Clock()
    training = Training(decoder, _parameters(arguments), data, data, clock)
    clock.tokens = lambda: training.progress.tokens
    training.run()
    return clock.result(str(dtype))


def _trainer(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(arguments.threads)
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

    from azureml_local import precision
    from azureml_local.components.tokenized import Tokenized
    from azureml_local.components.training import packing

    dtype = precision.dtype(arguments.precision)
    folder = arguments.data / "model"
    padding = AutoTokenizer.from_pretrained(folder).pad_token_id
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    adapters = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    data = Tokenized.load(arguments.data / "train.npz")
    # The very conversations that our step sees, in its order.
    order = packing.order(len(data), 0, 0)[: (arguments.steps + 1) * arguments.batch]
    rows = [_row(data, place) for place in order]
    clock = _Clock()

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            clock.log(logs, state.global_step)

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["tokens"]) for row in batch)
        clock.seen += sum(len(row["tokens"]) for row in batch)
        return {
            "input_ids": torch.tensor([_padded(row["tokens"], longest, padding) for row in batch]),
            "labels": torch.tensor([_padded(row["labels"], longest, -100) for row in batch]),
            "attention_mask": torch.tensor([_padded([1] * len(row["tokens"]), longest, 0) for row in batch]),
        }

    clock.tokens = lambda: clock.seen
    with tempfile.TemporaryDirectory() as scratch:
        Trainer(
            get_peft_model(model, adapters),
            TrainingArguments(
                scratch,
                per_device_train_batch_size=arguments.batch,
                max_steps=arguments.steps + 1,
                learning_rate=RATE,
                lr_scheduler_type="cosine",
                logging_steps=1,
                train_sampling_strategy="sequential",
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                remove_unused_columns=False,
            ),
            data_collator=collate,
            train_dataset=rows,
            callbacks=[Steps()],
        ).train()
    return clock.result(str(dtype))


class _Clock:
    """Takes the place of a job's metrics: when each step had ended, its loss, and the tokens until then."""

    def __init__(self) -> None:
        self.tokens: Callable[[], int] = lambda: 0
        self.seen = 0
        self._steps: list[tuple[float, int, float]] = []

    def log(self, values: Mapping[str, float], step: int) -> None:
        if "loss" in values:
            self._steps.append((time.perf_counter(), self.tokens(), values["loss"]))

    def result(self, dtype: str) -> dict[str, Any]:
        """Tokens a second from the end of the first step on: that one meets memory never touched before."""
        (begun, before, _), (ended, after, _) = self._steps[0], self._steps[-1]
        return {
            "speed": (after - before) / (ended - begun),
            "tokens": after - before,
            "dtype": dtype.removeprefix("torch."),
            "losses": [loss for _, _, loss in self._steps],
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }


def _row(data: Any, place: int) -> dict[str, Any]:
    piece = slice(int(data.offsets[place]), int(data.offsets[place + 1]))
    tokens, learn = data.tokens[piece].tolist(), data.learn[piece].tolist()
    labels = [token if wanted else -100 for token, wanted in zip(tokens, learn, strict=True)]
    return {"tokens": tokens, "labels": labels}


def _padded(row: list[int], length: int, filler: int) -> list[int]:
    return row + [filler] * (length - len(row))


def _parameters(arguments: argparse.Namespace) -> Any:
    """The step's inputs at their defaults, but for those that both ways are given."""
    from azureml_local.components import interface
    from azureml_local.components.arguments import parse
    from azureml_local.components.training.parameters import Parameters

    given = {
        "per_device_train_batch_size": arguments.batch,
        "max_steps": arguments.steps + 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "apply_lora": "true",
        "lora_r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "evaluation_strategy": "disable",
        "seed": 0,
    }
    inputs = interface.FINETUNE_INPUTS
    paths = {name: "." for name, port in inputs.items() if port.is_path and not port.optional}
    line = [part for name, value in {**paths, **given}.items() for part in (f"--{name}", str(value))]
    return Parameters.of(parse("", inputs, {}, line))


if __name__ == "__main__":
    main()

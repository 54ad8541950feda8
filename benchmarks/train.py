"""Tokens a second of the fine-tuning step, beside Hugging Face's Trainer and TRL's SFTTrainer.

Same model, conversations, LoRA configuration, number type and threads; each way in a process of its own, in
turns: ``uv run --extra local --with trl python -m benchmarks.train``. SFTTrainer packs conversations into
rows of as many tokens as the longest may have, as many rows a step as make the others' batch; without TRL it
is left out. Padding counts for nothing: tokens are those of the data, of the steps that had ended. (The
Trainer fetches a batch ahead: counted where it is put together, it would be credited with one too few.)
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.spread import spread

MODEL, VERSION = "SmolLM2-135M-Instruct", "1"
RANK, ALPHA, RATE = 8, 16, 3e-3
LONGEST = 256  # tokens a conversation
WAYS = {"ours": "our step", "trainer": "Trainer with PEFT", "trl": "SFTTrainer with PEFT, packed"}


def main() -> None:
    """Print a table, a line a way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is run")
    parser.add_argument("--steps", type=int, default=6, help="optimiser steps measured")
    parser.add_argument("--batch", type=int, default=4, help="conversations a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("16", "32"), default="16", help="16 where the processor can")
    parser.add_argument("--way", choices=tuple(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run = {"ours": _ours, "trainer": _trainer, "trl": _trl}[arguments.way]
        print(json.dumps(run(arguments)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        arguments.data = Path(scratch)
        _prepare(arguments.data)
        _compare(arguments)


def _compare(arguments: argparse.Namespace) -> None:
    ways = [way for way in WAYS if way != "trl" or find_spec("trl")]
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way in ways:
            results[way].append(_run(way, arguments))
    print(
        "| way | number type | tokens/s, median (least to most) | tokens a processor s | ours / it "
        "| loss, first to last step | peak GB |"
    )
    print("| --- | --- | ---: | ---: | ---: | --- | ---: |")
    for way in ways:
        print(_line(WAYS[way], results[way], results["ours"]))


def _line(name: str, results: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> str:
    speeds, last = [result["speed"] for result in results], results[-1]
    ratios = [our["speed"] / result["speed"] for our, result in zip(ours, results, strict=True)]
    return (
        f"| {name} | {last['dtype']} "
        f"| {spread(speeds, 0)} | {spread([result['by_processor'] for result in results], 0)} "
        f"| {spread(ratios, 2)} "
        f"| {last['losses'][0]:.2f} → {last['losses'][-1]:.2f} "
        f"| {max(result['peak_gb'] for result in results):.1f} |"
    )


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
    from azureml_local import precision, processor

    processor.keep_memory()
    processor.wait_without_spinning()
    import torch

    from azureml_local.components.tokenized import Tokenized
    from azureml_local.components.training.decoder import Decoder
    from azureml_local.components.training.loop import Training

    torch.set_num_threads(arguments.threads)
    dtype = precision.dtype(arguments.precision)
    decoder = Decoder.load(arguments.data / "model", dtype, precision.device())
    decoder.adapt(RANK, ALPHA, 0.0, 0)
    data = Tokenized.load(arguments.data / "train.npz")
    clock = _Clock()
    training = Training(decoder, _parameters(arguments), data, data, clock)
    clock.tokens = lambda step: training.progress.tokens
    training.run()
    return clock.result(str(dtype))


def _trainer(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(arguments.threads)
    from peft import get_peft_model
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    padding = AutoTokenizer.from_pretrained(arguments.data / "model").pad_token_id
    rows = _rows(arguments)
    model, adapters = _model(arguments)
    clock = _Clock()
    clock.count([len(row["input_ids"]) for row in rows], arguments.batch)

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in batch)
        ones = [[1] * len(row["input_ids"]) for row in batch]
        return {
            "input_ids": torch.tensor([_padded(row["input_ids"], longest, padding) for row in batch]),
            "labels": torch.tensor([_padded(row["labels"], longest, -100) for row in batch]),
            "attention_mask": torch.tensor([_padded(row, longest, 0) for row in ones]),
        }

    with tempfile.TemporaryDirectory() as scratch:
        Trainer(
            get_peft_model(model, adapters),
            TrainingArguments(
                **_settings(arguments, scratch),
                per_device_train_batch_size=arguments.batch,
                remove_unused_columns=False,
            ),
            data_collator=collate,
            train_dataset=rows,
            callbacks=[clock.callback()],
        ).train()
    return clock.result(str(model.dtype))


def _trl(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(arguments.threads)
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = _rows(arguments)
    model, adapters = _model(arguments)
    clock = _Clock()
    mean = sum(len(row["input_ids"]) for row in rows) / len(rows)
    batch = max(1, round(mean * arguments.batch / LONGEST))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model,
            SFTConfig(
                **_settings(arguments, scratch),
                per_device_train_batch_size=batch,
                max_length=LONGEST,
                packing=True,
                gradient_checkpointing=False,
                bf16=False,
            ),
            processing_class=AutoTokenizer.from_pretrained(arguments.data / "model"),
            train_dataset=Dataset.from_list(rows),
            peft_config=adapters,
            callbacks=[clock.callback()],
        )
        clock.count([len(row) for row in trainer.train_dataset["input_ids"]], batch)
        trainer.train()
    return clock.result(str(model.dtype))


def _model(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The model of the peers, and the adapters that it is to get."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM

    from azureml_local import precision

    dtype = precision.dtype(arguments.precision)
    model = AutoModelForCausalLM.from_pretrained(arguments.data / "model", dtype=dtype)
    return model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")


def _rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The very conversations that our step sees, in its order."""
    from azureml_local.components.tokenized import Tokenized
    from azureml_local.components.training import packing

    data = Tokenized.load(arguments.data / "train.npz")
    order = packing.order(len(data), 0, 0)[: (arguments.steps + 1) * arguments.batch]
    return [_row(data, place) for place in order]


def _settings(arguments: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """What both peers are told, apart from their batches."""
    from azureml_local import precision

    return {
        "output_dir": scratch,
        "max_steps": arguments.steps + 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "cosine",
        "logging_steps": 1,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": precision.device().type == "cpu",
        "disable_tqdm": True,
    }


class _Clock:
    """Takes the place of a job's metrics: when each step had ended, its loss, and the tokens until then."""

    def __init__(self) -> None:
        self.tokens: Callable[[int], int] = lambda step: 0
        self._steps: list[tuple[float, float, int, float]] = []

    def count(self, lengths: Sequence[int], batch: int) -> None:
        """Count the tokens of all steps up to one by the lengths of the rows, in the order of training."""
        until = [0, *accumulate(lengths)]
        self.tokens = lambda step: until[min(step * batch, len(lengths))]

    def log(self, values: Mapping[str, float], step: int) -> None:
        if "loss" in values:
            now = (time.perf_counter(), time.process_time())
            self._steps.append((*now, self.tokens(step), values["loss"]))

    def callback(self) -> Any:
        """What tells this clock of the steps of transformers' Trainer."""
        from transformers import TrainerCallback

        clock = self

        class Steps(TrainerCallback):  # type: ignore[misc]
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
                clock.log(logs, state.global_step)

        return Steps()

    def result(self, dtype: str) -> dict[str, Any]:
        """Tokens a second from the end of the first step on: that one meets memory never touched before."""
        begun, used, before, _ = self._steps[0]
        ended, used_then, after, _ = self._steps[-1]
        return {
            "speed": (after - before) / (ended - begun),
            "by_processor": (after - before) / (used_then - used),
            "tokens": after - before,
            "dtype": dtype.removeprefix("torch."),
            "losses": [step[-1] for step in self._steps],
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }


def _row(data: Any, place: int) -> dict[str, Any]:
    piece = slice(int(data.offsets[place]), int(data.offsets[place + 1]))
    tokens, learn = data.tokens[piece].tolist(), data.learn[piece].tolist()
    labels = [token if wanted else -100 for token, wanted in zip(tokens, learn, strict=True)]
    return {"input_ids": tokens, "labels": labels}


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

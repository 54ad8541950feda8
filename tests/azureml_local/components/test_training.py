"""The training loop: what it learns, that it can be interrupted, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.components.tokenized import Tokenized
from azureml_local.components.training import packing, schedule
from azureml_local.components.training.checkpoint import Checkpoints
from azureml_local.components.training.decoder import Decoder
from azureml_local.components.training.loop import Training
from azureml_local.components.training.metrics import Metrics
from azureml_local.components.training.parameters import Parameters

Make = Callable[..., Parameters]
Data = tuple[Tokenized, Tokenized]


class Killed(Exception):
    """What a test ends a run with."""


class Recorder(Metrics):
    """Metrics that a test can look at; may kill the run at a step."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__()
        self.entries: list[tuple[int, dict[str, float]]] = []
        self._kill_at = kill_at

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.entries.append((step, dict(values)))
        if step == self._kill_at:
            raise Killed

    def of(self, name: str) -> list[float]:
        return [values[name] for _, values in self.entries if name in values]


def training(
    tiny: Path,
    data: Data,
    parameters: Parameters,
    metrics: Metrics | None = None,
    checkpoints: Path | None = None,
) -> Training:
    decoder = Decoder.load(tiny, torch.float32)
    if parameters.apply_lora:
        decoder.adapt(parameters.lora_r, parameters.lora_alpha, parameters.lora_dropout, parameters.seed)
    return Training(decoder, parameters, *data, metrics or Recorder(), checkpoints)


def weights(run: Training) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.decoder.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("lora", ["true", "false"])
@pytest.mark.parametrize("optimizer", ["adamw_torch", "adafactor"])
def test_held_out_loss_falls(tiny: Path, data: Data, parameters: Make, lora: str, optimizer: str) -> None:
    metrics = Recorder()
    made = parameters(
        apply_lora=lora, optim=optimizer, num_train_epochs=3, per_device_train_batch_size=4, lora_alpha=16
    )
    training(tiny, data, made, metrics).run()
    losses = metrics.of("eval_loss")
    assert len(losses) >= 4  # before, and after each epoch
    assert min(losses[1:]) < losses[0] - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("dropout", ["0.0", "0.2"])
def test_a_killed_run_goes_on_to_the_same_weights(
    tiny: Path, data: Data, parameters: Make, tmp_path: Path, dropout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: self._path is not None)
    made = parameters(
        per_device_train_batch_size=2, num_train_epochs=2, lora_dropout=dropout, logging_steps=1
    )
    whole = training(tiny, data, made)
    whole.run()
    with pytest.raises(Killed):
        training(tiny, data, made, Recorder(kill_at=7), tmp_path).run()
    metrics = Recorder()
    second = training(tiny, data, made, metrics, tmp_path)
    second.run()
    assert metrics.of("checkpoint_load_step") == [6]
    assert [step for step, values in metrics.entries if "loss" in values] == list(range(7, second.steps + 1))
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(second)[name], value, rtol=0, atol=0)


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_not_taken_up(
    tiny: Path, data: Data, parameters: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: self._path is not None)
    training(tiny, data, parameters(max_steps=3), None, tmp_path).run()
    metrics = Recorder()
    training(tiny, data, parameters(max_steps=3, learning_rate=0.02), metrics, tmp_path).run()
    assert metrics.of("checkpoint_load_step") == []


def test_a_torn_checkpoint_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, "a")
    checkpoints.save({"step": 1})

    def fail(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(Killed):
        checkpoints.save({"step": 2})
    assert checkpoints.load() == {"step": 1}


def test_accumulated_steps_are_those_of_a_larger_batch(tiny: Path, data: Data, parameters: Make) -> None:
    large = training(tiny, data, parameters(per_device_train_batch_size=6))
    parts = training(tiny, data, parameters(per_device_train_batch_size=2, gradient_accumulation_steps=3))
    large.run()
    parts.run()
    for name, value in weights(large).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=0, atol=0)


def test_size_of_packs_changes_nothing_but_rounding(
    tiny: Path, data: Data, parameters: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parameters(per_device_train_batch_size=6, lora_alpha=16)
    first, second = Recorder(), Recorder()
    training(tiny, data, made, first).run()
    monkeypatch.setattr(packing.packs, "__defaults__", (150,))
    training(tiny, data, made, second).run()
    assert first.of("eval_loss") == pytest.approx(second.of("eval_loss"), rel=1e-4)


@pytest.mark.slow
def test_best_weights_are_kept_and_training_stops_early(tiny: Path, data: Data, parameters: Make) -> None:
    metrics = Recorder()
    made = parameters(
        learning_rate=0.5, num_train_epochs=30, apply_early_stopping="true", evaluation_strategy="epoch"
    )
    run = training(tiny, data, made, metrics)
    progress = run.run()
    assert progress.stopped
    assert progress.step < run.steps
    assert metrics.of("eval_loss")[-1] <= min(metrics.of("eval_loss")[1:])
    assert run.evaluate() == pytest.approx(metrics.of("eval_loss")[-1], rel=1e-5)


def test_metrics_are_called_as_the_service_calls_them(tiny: Path, data: Data, parameters: Make) -> None:
    metrics = Recorder()
    made = parameters(
        per_device_train_batch_size=4, logging_steps=2, evaluation_strategy="steps", eval_steps=3
    )
    training(tiny, data, made, metrics).run()
    assert [step for step, values in metrics.entries if "eval_loss" in values] == [0, 3, 5]
    assert [step for step, values in metrics.entries if "grad_norm" in values] == [2, 4, 5]
    names = {name for _, values in metrics.entries for name in values}
    assert names >= {
        *("loss", "grad_norm", "learning_rate", "epoch", "eval_loss", "eval_runtime"),
        *("eval_samples_per_second", "eval_steps_per_second", "train_loss", "train_runtime"),
        *("train_samples_per_second", "train_steps_per_second", "total_flos"),
    }


@pytest.mark.parametrize(
    "kind", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"]
)
@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_schedules_are_those_of_transformers(kind: str, warmup: int, total: int) -> None:
    from transformers import get_scheduler

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    scheduler = get_scheduler(kind, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(total):
        assert schedule.rate(kind, 0.01, step, warmup, total) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        if step + 1 < total:  # past the end some of theirs divide by zero
            scheduler.step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0}, "learning rate"),
        ({"apply_deepspeed": "true", "auto_find_batch_size": "true"}, "auto_find_batch_size"),
        ({"apply_early_stopping": "true", "evaluation_strategy": "disable"}, "early stopping"),
        ({"lora_r": 0}, "lora_r"),
        ({"lora_dropout": 1}, "lora_dropout"),
    ],
)
def test_bad_parameters_are_named(parameters: Make, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameters(**change)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30), most=st.integers(1, 60))
def test_packs_hold_every_conversation_once(lengths: list[int], most: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.arange(offsets[-1], dtype=np.int32)
    data = Tokenized(tokens, tokens % 3 == 0, offsets)
    found: list[int] = []
    for pack in packing.packs(data, range(len(lengths)), most):
        assert len(pack.tokens) <= most or len(pack.spans) == 1
        assert [end for _, end in pack.spans][:-1] == [start for start, _ in pack.spans][1:]
        assert torch.equal(pack.learn, pack.tokens % 3 == 0)
        for start, end in pack.spans:
            piece = pack.tokens[start:end]
            place = int(np.searchsorted(offsets, int(piece[0])))
            assert torch.equal(piece, torch.arange(offsets[place], offsets[place + 1]))
            found.append(place)
    assert sorted(found) == list(range(len(lengths)))


@given(count=st.integers(1, 50), epoch=st.integers(0, 5), seed=st.integers(0, 1000))
def test_an_epoch_sees_every_conversation_once(count: int, epoch: int, seed: int) -> None:
    assert sorted(packing.order(count, epoch, seed)) == list(range(count))

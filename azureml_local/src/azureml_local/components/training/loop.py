"""The training loop."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from azureml_local.components.tokenized import Tokenized
from azureml_local.components.training import packing, schedule
from azureml_local.components.training.checkpoint import Checkpoints
from azureml_local.components.training.decoder import Decoder
from azureml_local.components.training.metrics import Reporter
from azureml_local.components.training.packing import Pack
from azureml_local.components.training.parameters import Parameters
from azureml_local.processor import Threads


@dataclass
class Progress:
    """How far a run has come; all of it is in a checkpoint. Losses are means over tokens."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = -1
    disappointments: int = 0  # evaluations in a row that brought too little
    loss_sum: float = 0.0  # of all steps' losses
    recent: list[float] = field(default_factory=list)  # losses since the last report
    seconds: float = 0.0
    tokens: int = 0
    stopped: bool = False


class Training:
    """Trains a decoder whose trainable parameters are set; `run` leaves the best weights in it.

    An optimiser step sees `per_device_train_batch_size` times `gradient_accumulation_steps` conversations and
    minimises the mean loss of all their learnt tokens, however they are packed.
    """

    def __init__(
        self,
        decoder: Decoder,
        parameters: Parameters,
        train: Tokenized,
        validation: Tokenized,
        metrics: Reporter,
        checkpoints: Path | None = None,
    ) -> None:
        self.decoder, self.parameters = decoder, parameters
        self.train, self.validation = train, validation
        self.progress = Progress()
        self.batch = parameters.per_device_train_batch_size * parameters.gradient_accumulation_steps
        self.epoch_steps = packing.steps_per_epoch(len(train), self.batch)
        self.steps = parameters.max_steps
        if self.steps <= 0:
            self.steps = parameters.num_train_epochs * self.epoch_steps
        self._metrics = metrics
        self._trainable = {n: p for n, p in decoder.named_parameters() if p.requires_grad}
        self._best: dict[str, torch.Tensor] = {}
        self._checkpoints = Checkpoints(checkpoints, self._fingerprint())
        self._optimizer = self._make_optimizer()
        self._threads = Threads(fixed=parameters.enable_full_determinism)

    def run(self) -> Progress:
        """Train to the end, from the newest checkpoint if there is one of this run."""
        state = self._checkpoints.load()
        torch.manual_seed(self.parameters.seed)
        if state is not None:
            self._restore(state)
            print(f"Going on after step {self.progress.step}, from a checkpoint.", flush=True)
            self._metrics.log({"checkpoint_load_step": self.progress.step}, self.progress.step)
        elif self.parameters.evaluation_strategy != "disable":
            self._evaluate()
        resumed_at = self.progress.step
        while self.progress.step < self.steps and not self.progress.stopped:
            started = time.monotonic()
            rate, norm = self._step()
            self.progress.seconds += time.monotonic() - started
            self._report(rate, norm)
            if self._evaluation_is_due():
                self._evaluate()
            if self._checkpoints.is_due():
                self._checkpoints.save(self._state())
            self._threads.adapt()
        self._finish(resumed_at)
        return self.progress

    def evaluate(self) -> float:
        """The mean loss of the validation split's learnt tokens."""
        total, learnt = 0.0, 0
        self.decoder.eval()
        with torch.no_grad():
            for pack in packing.packs(self.validation, range(len(self.validation))):
                total += self.decoder.loss(pack.tokens, pack.learn, pack.spans).item()
                learnt += pack.learnt
        self.decoder.train()
        mean: float = total / learnt
        return mean

    def _step(self) -> tuple[float, float]:
        """One optimiser step; its learning rate and gradient norm."""
        progress, parameters = self.progress, self.parameters
        packs = list(self._packs(progress.step))
        learnt = sum(pack.learnt for pack in packs)
        loss = 0.0
        for pack in packs:
            part = self.decoder.loss(pack.tokens, pack.learn, pack.spans) / learnt
            part.backward()
            loss += part.item()
            progress.tokens += len(pack.tokens)
        limit = parameters.max_grad_norm if parameters.max_grad_norm > 0 else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._trainable.values(), limit))
        rate = schedule.rate(
            parameters.lr_scheduler_type,
            parameters.learning_rate,
            progress.step,
            parameters.warmup_steps,
            self.steps,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        progress.step += 1
        progress.loss_sum += loss
        progress.recent.append(loss)
        return rate, norm

    def _packs(self, step: int) -> Iterator[Pack]:
        epoch, place = divmod(step, self.epoch_steps)
        order = packing.order(len(self.train), epoch, self.parameters.seed)
        return packing.packs(self.train, order[place * self.batch : (place + 1) * self.batch])

    def _report(self, rate: float, norm: float) -> None:
        progress = self.progress
        every = self.parameters.logging_steps
        if self.parameters.logging_strategy == "epoch":
            every = self.epoch_steps
        if progress.step % every and progress.step != self.steps:
            return
        loss = sum(progress.recent) / len(progress.recent)
        progress.recent.clear()
        values = {"loss": loss, "grad_norm": norm, "learning_rate": rate, "epoch": self._epoch()}
        self._metrics.log(values, progress.step)

    def _evaluation_is_due(self) -> bool:
        strategy, step = self.parameters.evaluation_strategy, self.progress.step
        if strategy == "disable":
            return False
        if step == self.steps:
            return True
        if strategy == "epoch":
            return step % self.epoch_steps == 0
        every = self.parameters.eval_steps
        if self.parameters.evaluation_steps_interval > 0:  # a share of an epoch
            every = max(1, int(self.epoch_steps * self.parameters.evaluation_steps_interval))
        return step % every == 0

    def _evaluate(self) -> None:
        """Report the validation loss, keep the best weights so far, stop if there is no more hope."""
        progress, parameters = self.progress, self.parameters
        started = time.monotonic()
        loss = self.evaluate()
        seconds = time.monotonic() - started
        count = len(self.validation)
        batches = math.ceil(count / parameters.per_device_eval_batch_size)
        self._metrics.log(
            {
                "eval_loss": loss,
                "eval_runtime": seconds,
                "eval_samples_per_second": count / seconds,
                "eval_steps_per_second": batches / seconds,
                "epoch": self._epoch(),
            },
            progress.step,
        )
        hoped_for = progress.best_loss - parameters.early_stopping_threshold
        progress.disappointments = 0 if loss < hoped_for else progress.disappointments + 1
        if loss < progress.best_loss and progress.step > 0:
            self._best = {name: value.detach().clone() for name, value in self._trainable.items()}
            progress.best_step = progress.step
        progress.best_loss = min(loss, progress.best_loss)
        if parameters.apply_early_stopping and progress.disappointments > parameters.early_stopping_patience:
            print(
                f"Stopping early: {progress.disappointments} evaluations without a better loss.", flush=True
            )
            progress.stopped = True

    def _finish(self, resumed_at: int) -> None:
        progress = self.progress
        if self._best and progress.best_step != progress.step:
            print(f"The weights of step {progress.best_step} are kept: their eval_loss is the least.")
            for name, value in self._best.items():
                self._trainable[name].data.copy_(value)
            self._metrics.log({"eval_loss": progress.best_loss}, progress.step)
        self._metrics.log(
            {
                "train_loss": progress.loss_sum / max(1, progress.step),
                "train_runtime": progress.seconds,
                "train_samples_per_second": progress.step * self.batch / max(progress.seconds, 1e-9),
                "train_steps_per_second": progress.step / max(progress.seconds, 1e-9),
                "train_tokens_per_second": progress.tokens / max(progress.seconds, 1e-9),
                "total_flos": self._operations(),
                "epoch": self._epoch(),
            },
            progress.step,
        )

    def _epoch(self) -> float:
        return self.progress.step / self.epoch_steps

    def _operations(self) -> float:
        """Floating-point operations, estimated as the Trainer does: 6 a weight and token."""
        weights: int = sum(parameter.numel() for parameter in self.decoder.parameters())
        return 6.0 * self.progress.tokens * weights

    def _make_optimizer(self) -> torch.optim.Optimizer:
        parameters, trainable = self.parameters, list(self._trainable.values())
        if parameters.optim == "adafactor":
            # PyTorch's own scales a step by the weights' size, which is nothing for an adapter's first.
            from transformers.optimization import Adafactor

            made: torch.optim.Optimizer = Adafactor(
                trainable,
                lr=parameters.learning_rate,
                weight_decay=parameters.weight_decay,
                scale_parameter=False,
                relative_step=False,
            )
            return made
        return torch.optim.AdamW(
            trainable,
            lr=parameters.learning_rate,
            betas=(parameters.adam_beta1, parameters.adam_beta2),
            eps=parameters.adam_epsilon,
            weight_decay=parameters.weight_decay,
            fused=True,
        )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr(sorted(asdict(self.parameters).items())).encode())
        for data in (self.train, self.validation):
            digest.update(data.tokens.tobytes() + data.learn.tobytes() + data.offsets.tobytes())
        for name, value in self._trainable.items():
            digest.update(f"{name} {tuple(value.shape)}".encode())
        return digest.hexdigest()

    def _state(self) -> dict[str, Any]:
        return {
            "progress": asdict(self.progress),
            "weights": {name: value.detach() for name, value in self._trainable.items()},
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random of GPUs": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        for name, value in state["weights"].items():
            self._trainable[name].data.copy_(value)
        self._best = state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available() and len(state["random of GPUs"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random of GPUs"])

"""Made-up runs for the history: as varied as those of years, the same for the same seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flows.dashboard.run import RunRecord
from tasks.azure.failure import Cause
from tasks.core.reuse import Reused
from tasks.delete import Deletion, EndpointEnd

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

_MODELS = (
    ("local", "SmolLM2-135M-Instruct", 1.45, 0.02),
    ("phi-3-mini-ultrachat", "Phi-3-mini-4k-instruct", 1.12, 1.0),
    ("phi-4-nightly", "Phi-4", 0.98, 2.5),
    ("llama-2-weekly", "Llama-2-7b-chat", 1.21, 1.6),
    ("mistral", "mistralai-Mistral-7B-Instruct-v0-2", 1.08, 1.4),
)
_SECONDS = {
    "sign in": 1.2,
    "base model": 0.9,
    "compute": 1.1,
    "data": 14.0,
    "parameters": 0.3,
    "submit": 2.0,
    "train": 3100.0,
    "metrics": 1.5,
    "register": 20.0,
    "endpoint": 110.0,
    "deploy": 640.0,
    "invoke": 6.0,
    "delete": 75.0,
}
_FAILURES = (
    ("train", "The step finetune of the job ft-1 failed: CUDA out of memory", Cause.OUT_OF_MEMORY),
    ("train", "The budget of $20 is spent ($20.11): the job ft-1 is cancelled.", Cause.BUDGET),
    ("train", "The job ft-1 took longer than 24 h and is cancelled.", Cause.TIMED_OUT),
    ("deploy", "The subscription's quota does not leave room for this.", Cause.QUOTA),
    ("deploy", "The deployment's container did not become ready.", Cause.DEPLOYMENT),
    ("data", "The split test_sft has no rows.", Cause.DATA),
    ("sign in", "Azure did not accept the sign-in. Run `az login`.", Cause.SIGN_IN),
    ("compute", "Azure has no free machines of this size in the region at the moment.", Cause.CAPACITY),
)
_STOPPED = {
    "crashed": ("The flow run process was killed.", Cause.CRASHED),
    "cancelled": ("Cancelled by a person.", Cause.CANCELLED),
}


def runs(number: int, *, days: int = 700, seed: int = 7, now: datetime = NOW) -> list[RunRecord]:
    """So many runs of the last days, the newest first."""
    random_ = random.Random(seed)
    whens = sorted((now - timedelta(days=days * random_.random()) for _ in range(number)), reverse=True)
    return [_run(random_, when, now) for when in whens]


def _run(random_: random.Random, when: datetime, now: datetime) -> RunRecord:
    recipe, model, loss, scale = random_.choices(_MODELS, (5, 4, 2, 2, 1))[0]
    state = random_.choices(("completed", "failed", "crashed", "cancelled"), (86, 9, 3, 2))[0]
    stage, failure, cause = random_.choice(_FAILURES) if state == "failed" else (None, None, None)
    names = list(_SECONDS)
    reached = names if state == "completed" else names[: names.index(stage) + 1 if stage else 6]
    seconds = {name: round(_SECONDS[name] * scale * random_.lognormvariate(0, 0.3), 2) for name in reached}
    took = sum(seconds.values())
    training = seconds.get("train", 0) / 3600 * (0 if recipe == "local" else 22)
    serving = sum(seconds.get(name, 0) for name in ("deploy", "invoke", "delete")) / 3600 * 3.67 * (scale > 1)
    drift = 0.15 * ((now - when).days / 700) + random_.gauss(0, 0.02)
    done = state == "completed"
    said, why = _STOPPED.get(state, ("answers", cause))
    run = UUID(int=random_.getrandbits(128))
    return RunRecord(
        id=str(run),
        name=f"{recipe}: {model}",
        when=when,
        ended=when + timedelta(seconds=took),
        trigger=random_.choices(("schedule", "ad hoc", "deployment"), (6, 3, 1))[0],
        recipe=recipe,
        model=f"{model}:{random_.randint(1, 15)}" if state != "crashed" else model,
        rows=random_.choice((600, 11_548, 23_096)) if "data" in seconds else None,
        data_share="5%",
        state=state,
        message=failure or said,
        failed_stage=stage,
        failure=failure,
        cause=why,
        seconds=took,
        seconds_by_stage=seconds,
        queued_seconds=round(random_.expovariate(1 / 200), 1) if done else None,
        training_usd=training if state != "crashed" else None,
        serving_usd=serving if state != "crashed" else None,
        cost_usd=training + serving if state != "crashed" else None,
        base_loss=loss + 0.4 if done else None,
        eval_loss=loss + drift if done else None,
        train_loss=loss - 0.1 + drift if done else None,
        rouge_l=round(0.3 - drift, 4) if done else None,
        base_rouge_l=0.21 if done else None,
        registered=f"{model}-ultrachat-200k:{random_.randint(1, 40)}" if done else None,
        endpoint=f"ultrachat-{run.hex[:10]}" if "endpoint" in seconds else None,
        deletion=Deletion(endpoint="e", state=EndpointEnd.DELETED, at=NOW) if done else None,
        reused=(Reused(kind="job", name=f"ft-{run.hex[:8]}", run=str(run)),)
        if done and random_.random() < 0.1
        else (),
        job=f"ft-{run.hex[:12]}" if "submit" in seconds else None,
        studio_url=f"https://ml.azure.com/runs/ft-{run.hex[:12]}" if "submit" in seconds else None,
        workspace="team-ml",
        fingerprint=run.hex[:16],
        settings=_settings(run, model),
    )


def _settings(run: UUID, model: str) -> dict[str, Any]:
    """What nearly all runs have alike, what somebody tries now and then, and what is left to the model."""
    tried = run.int % 7
    return {
        "base.name": model,
        "data.dataset": "HuggingFaceH4/ultrachat_200k",
        "data.train.take": ("5%", "10%", "50%")[tried % 3],
        "parameters.training.learning_rate": (5e-6, 1e-4, None)[tried % 3],
        "parameters.training.num_train_epochs": 1 if tried else 3,
        "parameters.more": {},
        "wait.budget_usd": 60,
    }

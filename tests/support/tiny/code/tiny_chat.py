"""A component that trains within a second: frequencies of words, and answers remembered with their questions.

Run as a step of a job it fits the frequencies to the training split, logs the loss that they give the test
split, and writes an MLflow model with this file inside, which answers as the most similar question was.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import shutil
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NOTHING_LEARNT = "I have not learnt anything yet."
_NAME = "tiny_chat"
_MLMODEL = f"""\
flavors:
  python_function:
    loader_module: {_NAME}
    code: code
    data: pairs.json
    env: {{}}
    python_version: {sys.version.split()[0]}
"""

Pair = tuple[str, str]  # a question and its answer


class NearestAnswer:
    """Answers as the training question that shares most words with this one was answered."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._known = [(frozenset(words(question)), answer) for question, answer in pairs]

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> dict[str, str]:
        """`model_input` holds the conversation so far under `input_string`."""
        asked = frozenset(words(list(model_input["input_string"])[-1]["content"]))
        nearest = max(self._known, key=lambda known: _likeness(known[0], asked), default=None)
        return {"output": NOTHING_LEARNT if nearest is None else nearest[1]}


def _load_pyfunc(path: str) -> NearestAnswer:
    """What MLflow calls to load the model; `path` is that of the remembered pairs."""
    return NearestAnswer(json.loads(Path(path).read_text()))


def write(folder: Path, pairs: list[Pair]) -> None:
    """Make `folder` an MLflow model that remembers the pairs."""
    (folder / "code").mkdir(parents=True)
    shutil.copy(__file__, folder / "code" / f"{_NAME}.py")
    (folder / "pairs.json").write_text(json.dumps(pairs))
    (folder / "MLmodel").write_text(_MLMODEL)


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


def pairs_of(path: Path) -> list[Pair]:
    """Every user's turn in a file of conversations with the answer that follows it."""
    rows = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (asked["content"], answered["content"])
        for messages in rows
        for asked, answered in zip(messages, messages[1:], strict=False)
        if (asked["role"], answered["role"]) == ("user", "assistant")
    ]


def loss(seen: Counter[str], answers: Iterable[str], vocabulary: int) -> float:
    """The mean negative log likelihood of the answers' words, one added to every frequency."""
    found = [word for answer in answers for word in words(answer)]
    total = seen.total() + vocabulary
    return -sum(math.log((seen[word] + 1) / total) for word in found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("base", "train", "test", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--until", type=Path)
    parser.add_argument("--says", type=Path)
    arguments = parser.parse_args()
    print(
        f"base model with {len(json.loads((arguments.base / 'pairs.json').read_text()))} answers", flush=True
    )
    if arguments.says:
        print(arguments.says.read_text(), flush=True)
    train, test = pairs_of(arguments.train), pairs_of(arguments.test)
    _wait(arguments.seconds, arguments.until)
    if arguments.learning_rate > 1:
        raise RuntimeError(f"the loss is not a number: learning rate {arguments.learning_rate:g} is too high")
    _log(_fit(train, test, arguments.epochs))
    write(arguments.out, train)


def _wait(seconds: float, until: Path | None) -> None:
    """Take that long, or until the file is there, saying so every now and then, as a training does."""
    ends = time.monotonic() + seconds
    says = seconds
    while (left := ends - time.monotonic()) > 0 and not (until and until.exists()):
        if left <= says:
            print(f"{left:.1f} s to go", flush=True)
            says = left - 0.5
        time.sleep(min(0.05, left))


def _fit(train: list[Pair], test: list[Pair], epochs: int) -> list[tuple[int, dict[str, float]]]:
    """The metrics of each epoch, which learns a further share of the answers; 0 is before the first."""
    answers, held_out = [a for _, a in train], [a for _, a in test]
    vocabulary = len({word for answer in answers + held_out for word in words(answer)})
    seen: Counter[str] = Counter()
    points = [(0, {"eval_loss": loss(seen, held_out, vocabulary)})]
    for epoch in range(1, epochs + 1):
        for answer in answers[len(answers) * (epoch - 1) // epochs : len(answers) * epoch // epochs]:
            seen.update(words(answer))
        values = {
            "loss": loss(seen, answers, vocabulary),
            "eval_loss": loss(seen, held_out, vocabulary),
            "epoch": float(epoch),
        }
        print(f"epoch {epoch}: {values}", flush=True)
        points.append((epoch, values))
    return points


def _log(points: list[tuple[int, dict[str, float]]]) -> None:
    """Log to this step's run and the job's, as the service's own components do.

    By MLflow's REST, as importing its client takes longer than everything else here.
    """
    moment = int(time.time() * 1000)
    metrics = [
        {"key": name, "value": value, "timestamp": moment, "step": step}
        for step, values in points
        for name, value in values.items()
    ]
    address = os.environ["MLFLOW_TRACKING_URI"].replace("azureml://", "https://")
    for run in {os.environ["MLFLOW_RUN_ID"], os.environ["AZUREML_ROOT_RUN_ID"]}:
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/runs/log-batch",
            json.dumps({"run_id": run, "metrics": metrics}).encode(),
            {
                "Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}",
                "Content-Type": "application/json",
            },
        )
        _send(request)


def _send(request: urllib.request.Request, attempts: int = 5) -> None:
    """Try again after a lost or refused call, as MLflow's client does."""
    for attempt in range(1, attempts + 1):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
        except (OSError, http.client.HTTPException):
            if attempt == attempts:
                raise
            time.sleep(0.2 * attempt)
        else:
            return


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1)


if __name__ == "__main__":
    main()

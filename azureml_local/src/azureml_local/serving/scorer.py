"""What the model server asks of a model, and the choice of who answers for a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml
from starlette.requests import Request
from starlette.responses import Response

from azureml_local import extras

CHAT_TASK = "chat-completion"


class Scorer(Protocol):
    """A loaded model that answers score requests of its `methods`."""

    methods: Sequence[str]

    async def score(self, request: Request, body: bytes) -> Response:
        """The answer to one request, whose body has been read; cancelled when its client has gone."""

    def close(self) -> None:
        """Give back what the model holds."""


@runtime_checkable
class Completing(Protocol):
    """A model that answers OpenAI's requests as well."""

    async def complete(self, body: bytes) -> Response:
        """The answer to one chat completion; cancelled when its client has gone."""


def load(
    model: Path | None, script: Path | None, *, rows: int, threads: int | None, precision: str
) -> Scorer:
    """Load whatever answers: the user's script when there is one, else the MLflow model in ``model``.

    Raises:
        FileNotFoundError: the script or the model's MLmodel file is not there.
        ExtraMissing: it is a chat model, and the extra `chat` is not installed.
    """
    if script is not None:
        from azureml_local.serving.script import ScriptScorer

        return ScriptScorer(script)
    if model is None or not (model / "MLmodel").is_file():
        raise FileNotFoundError(
            f"{model or 'no model'} is not an MLflow model folder (it holds no MLmodel file), and the "
            "deployment has no scoring script: register it as mlflow_model, or add a code_configuration"
        )
    weights = chat_weights(model)
    if weights is not None:
        extras.need_chat("Serving a chat model")
        from azureml_local.serving.chat_scorer import ChatScorer

        name = base_name(model)
        return ChatScorer(weights, name=name, rows=rows, threads=threads, precision=precision)
    from azureml_local.serving.pyfunc_scorer import PyfuncScorer

    return PyfuncScorer(model)


def chat_weights(model: Path) -> Path | None:
    """The folder of Hugging Face weights and tokenizer inside a chat-completion MLflow model, or None."""
    if _metadata(model).get("task") != CHAT_TASK:
        return None
    weights = model / "artifacts" / "model"
    return weights if (weights / "config.json").is_file() else None


def base_name(model: Path) -> str:
    """What OpenAI's answers call the model: the base model's name, as on Azure, else its folder's."""
    return str(_metadata(model).get("base_model_name") or model.name)


def _metadata(model: Path) -> dict[str, Any]:
    description = yaml.safe_load((model / "MLmodel").read_text())
    return dict(description.get("metadata") or {})

"""The question: a conversation of the test split, cut at the user's last turn, answered by the deployment."""

from __future__ import annotations

import json
import random
from pathlib import Path
from time import monotonic
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import TRANSIENT_STATUSES, retry_after
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import report, stage
from tasks.core.stages import Stage
from tasks.data import PreparedData
from tasks.deploy import BASE, Deployment
from tasks.sections.invoke import Invoke as Invoke

_SLACK = 15.0  # seconds that the way takes beyond the request's own time-out
# What foundation-model-inference answers, with status 200, where its engine has refused: a prompt that is too
# long, for one (llm-optimized-inference 0.2.58, read).
_SWALLOWED = "None"


class Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: str
    content: str


class Conversation(BaseModel):
    """A question with its answers; `ground_truth` is what the data has in the answer's place."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...]
    answer: str
    base_answer: str | None
    ground_truth: str
    seconds: float

    @property
    def prompt(self) -> str:
        """The user's last turn."""
        return self.messages[-1].content


@stage(Stage.INVOKE)
def ask(
    session: Session, invoke: Invoke, data: PreparedData, deployment: Deployment, base: Deployment | None
) -> Conversation:
    """Ask the tuned model, and the base model where it is deployed, one question of the test split.

    Raises Failure when an answer is empty: the service says 200 also when it has swallowed an error.
    """
    messages, ground_truth = sample(Path(data.test.path), invoke.seed)
    endpoint = clients.workspace(session).online_endpoints
    address = endpoint.get(deployment.endpoint).scoring_uri
    key = endpoint.get_keys(deployment.endpoint).primary_key
    begun = monotonic()
    report(messages[-1].content[:80])
    answer = score(address, key, deployment.name, request(messages, invoke))
    seconds = monotonic() - begun
    base_answer = score(address, key, BASE, request(messages, invoke)) if base else None
    return Conversation(
        messages=messages,
        answer=answer,
        base_answer=base_answer,
        ground_truth=ground_truth,
        seconds=seconds,
    )


def sample(path: Path, seed: int) -> tuple[tuple[Message, ...], str]:
    """A row of the file cut at its last user turn, and the answer that was cut off.

    Raises Failure when no row has a user's turn with an answer after it.
    """
    with path.open(encoding="utf-8") as file:
        rows = [row for row in map(cut, map(json.loads, filter(str.strip, file))) if row is not None]
    if not rows:
        raise Failure(
            f"{path.name} has no row in which an assistant answers a user.",
            "Check the test split of the data.",
            cause=Cause.DATA,
        )
    return random.Random(seed).choice(rows)


def cut(row: dict[str, Any]) -> tuple[tuple[Message, ...], str] | None:
    """The row's messages up to the last user turn that is answered, and the answer; None without one."""
    messages = tuple(
        Message(role=message["role"], content=message["content"]) for message in row.get("messages", ())
    )
    for at in range(len(messages) - 2, -1, -1):
        if messages[at].role == "user" and messages[at + 1].role == "assistant":
            return messages[: at + 1], messages[at + 1].content
    return None


def request(messages: tuple[Message, ...], invoke: Invoke) -> dict[str, Any]:
    """The request that both of Azure's chat servers take: a flat list whose last role is the user."""
    parameters = invoke.model_dump(include={"temperature", "top_p", "do_sample", "max_new_tokens"})
    return {
        "input_data": {
            "input_string": [message.model_dump() for message in messages],
            "parameters": parameters,
        },
        "params": {},
    }


# online_endpoints.invoke() of the SDK leaks the deployment's header into its later calls, hence requests.
def score(address: str, key: str, deployment: str, body: dict[str, Any], timeout: float = 180.0) -> str:
    """POST the question to one deployment; returns the answer's text. Raises Failure."""
    answer = requests.post(
        address, json=body, headers=headers(key, deployment), timeout=(10, timeout + _SLACK)
    )
    if answer.status_code != 200:
        # With its cause: a refused key is asked for again, once, as any refused token is.
        raise refused(answer, deployment) from requests.HTTPError(response=answer)
    do = "See its log in the studio: the service says 200 also when it has swallowed an error."
    return answered(answer, deployment, do)


def headers(key: str, deployment: str) -> dict[str, str]:
    """What a request carries that one deployment of the endpoint is to answer."""
    return {"Authorization": f"Bearer {key}", "azureml-model-deployment": deployment}


def answered(response: requests.Response, deployment: str, do: str) -> str:
    """The text of a deployment's answer; raises Failure, which says to `do` that, where it is none."""
    try:
        return read_answer(response.json())
    except ValueError as error:
        raise Failure(
            f"The deployment {deployment} gave no answer: {error}.",
            do,
            response.text[:2000],
            cause=Cause.ANSWER,
        ) from error


def read_answer(body: Any) -> str:
    """The text in either server's answer: `{"output": text}` or `[{"0": text}]`.

    Raises ValueError for an empty answer and for the error that stands in its place.
    """
    if isinstance(body, str):  # some containers encode their JSON twice
        body = json.loads(body)
    if isinstance(body, list):
        body = body[0] if body else {}
    if not isinstance(body, dict):
        raise ValueError(f"an answer of an unknown shape ({type(body).__name__})")
    if body.get("error"):
        raise ValueError(f"the engine's error {body['error']}")
    text = body.get("output", body.get("0"))
    if not isinstance(text, str) or not text.strip():
        raise ValueError("an empty answer")
    if text.strip() == _SWALLOWED:
        raise ValueError(f"the word {_SWALLOWED}, which stands for an error of the engine")
    return text.strip()


def refused(answer: requests.Response, deployment: str) -> Failure:
    """The failure that an answer without status 200 means."""
    status = answer.status_code
    reason = answer.headers.get("ms-azureml-model-error-reason", "")
    model_status = answer.headers.get("ms-azureml-model-error-statuscode", "")
    what, do = {
        401: ("The endpoint does not accept its key", "See who renews its keys: a new one was asked for."),
        404: (f"No deployment {deployment} takes requests", "It may have no traffic, or be gone."),
        408: ("The answer took too long", "Raise deploy.request_timeout_ms or lower invoke.max_new_tokens."),
        424: (f"The model failed with {model_status} {reason}".rstrip(), "See the deployment's log."),
        429: ("The deployment has too many requests", "Raise deploy.instance_count."),
    }.get(status, (f"The endpoint answered {status}", "See the deployment's log."))
    transient = status in TRANSIENT_STATUSES
    pause = retry_after(requests.HTTPError(response=answer)) if transient else None
    cause = Cause.TIMED_OUT if status == 408 else Cause.UNREACHABLE if transient else Cause.ANSWER
    return Failure(f"{what}.", do, answer.text[:2000], transient, pause, cause=cause)

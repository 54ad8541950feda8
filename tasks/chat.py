"""A conversation with a served model: its answer piece by piece where the endpoint streams, else at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from tasks import endpoint as endpoints
from tasks.azure import clients, listing
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import Lease
from tasks.invoke import Message, answered, headers, refused
from tasks.use import Use, of_endpoint

_CONNECT = 10.0  # seconds
_DONE = "[DONE]"


class Partner(BaseModel):
    """Who is talked to: an endpoint, its key, and the deployment behind it that is named in the header."""

    model_config = ConfigDict(frozen=True)

    use: Use
    key: str
    deployment: str


class Wish(BaseModel):
    """How the answers are to be; `seconds` that the next piece of one may take."""

    model_config = ConfigDict(frozen=True)

    temperature: float = 0.6
    max_tokens: int = 400
    seconds: float = 195.0


def partners(session: Session, name: str, beside: str | None) -> tuple[Partner, ...]:
    """The deployment that has most of the endpoint's traffic, and the one named to be asked beside it.

    Raises Failure where there is none, or none of that name.
    """
    use, found = of_endpoint(session, name, ()), endpoints.find(session, name)
    traffic = {each: share for each, share in (found.traffic or {}).items() if share} if found else {}
    if not traffic:
        raise Failure(
            f"No deployment of the endpoint {name!r} gets requests.",
            "Run again with deploy.keep_endpoint set.",
            cause=Cause.NOT_FOUND,
        )
    key = clients.workspace(session).online_endpoints.get_keys(name).primary_key
    asked = [max(traffic, key=lambda each: traffic[each])]
    if beside is not None:
        there = [each.name for each in listing.deployments(session, name)]
        if beside not in there:
            raise Failure(
                f"The endpoint {name!r} has no deployment {beside!r}: it has {', '.join(there)}.",
                "To keep the base model beside the tuned one, run with deploy.compare_with_base=true and "
                "deploy.keep_endpoint.",
                cause=Cause.NOT_FOUND,
            )
        asked.append(beside)
    return tuple(Partner(use=use, key=key, deployment=each) for each in asked)


def endpoint_of(session: Session, what: str | None) -> str:
    """The endpoint of that name, or of a model NAME or NAME:VERSION; where nothing is named the only one.

    Raises Failure where there is none, or more than one that could be meant.
    """
    ours = [each for each in listing.endpoints(session) if Lease.read(each.tags) is not None]
    if what is None:
        return _only([each.name for each in ours], "No endpoint of a run is up")
    if any(each.name == what for each in listing.endpoints(session)):
        return what
    name, _, version = what.partition(":")
    wanted = f"/models/{name}/versions/{version}"
    serving = [each.name for each in ours if _serves(session, each.name, wanted)]
    return _only(serving, f"No endpoint is called {what!r} or serves a model of that name")


def answer(partner: Partner, messages: Sequence[Message], wish: Wish) -> Iterator[str]:
    """The pieces of the model's answer to the conversation; raises Failure."""
    if partner.use.openai is None:
        yield _scored(partner, messages, wish)
        return
    body = {
        "model": partner.deployment,
        "messages": [message.model_dump() for message in messages],
        "temperature": wish.temperature,
        "max_tokens": wish.max_tokens,
        "stream": True,
    }
    with closing(_posted(partner, f"{partner.use.openai}/chat/completions", body, wish)) as response:
        # Not by its headers: an event stream is UTF-8 (HTML standard, server-sent events).
        for line in response.iter_lines():
            piece = _piece(line.decode("utf-8"))
            if piece is None:
                return
            if piece:
                yield piece


def _scored(partner: Partner, messages: Sequence[Message], wish: Wish) -> str:
    parameters = {"temperature": wish.temperature, "max_new_tokens": wish.max_tokens}
    asked = {"input_string": [message.model_dump() for message in messages], "parameters": parameters}
    with closing(_posted(partner, partner.use.address, {"input_data": asked}, wish)) as response:
        do = "Begin a new conversation, or see the deployment's log."
        return answered(response, partner.deployment, do)


def _posted(partner: Partner, address: str, body: dict[str, Any], wish: Wish) -> requests.Response:
    response = requests.post(
        address,
        json=body,
        headers=headers(partner.key, partner.deployment),
        timeout=(_CONNECT, wish.seconds),
        stream=True,
    )
    if response.status_code != 200:
        raise refused(response, partner.deployment)
    return response


def _piece(line: str) -> str | None:
    """The text of a line of the stream, empty for one without; None at its end."""
    field, _, value = line.partition(":")
    if field != "data":
        return ""
    if value.strip() == _DONE:
        return None
    choices = json.loads(value).get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def _serves(session: Session, endpoint: str, wanted: str) -> bool:
    behind = clients.workspace(session).online_deployments.list(endpoint)
    return any(wanted.casefold() in f"{each.model}".casefold() for each in behind)


def _only(names: list[str], nothing: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise Failure(
            f"{nothing}.",
            "Keep one: `finetune run` with --set deploy.keep_endpoint=4h.",
            cause=Cause.NOT_FOUND,
        )
    raise Failure(
        f"More than one endpoint could be meant: {', '.join(names)}.",
        "Name one of them.",
        cause=Cause.CONFIGURATION,
    )

"""How an endpoint is asked once it stays: its address, its key, and lines that work as they stand."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from pydantic import BaseModel, ConfigDict

from tasks import endpoint as endpoints
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.leased import Kind, Leased
from tasks.serving_image import image_of_model

KEY = "ENDPOINT_KEY"
# The scoring address ends with the route of the endpoint's container; others are below the same root.
_ROUTE = re.compile(r"/(score|(v1/)?(chat/)?completions)/?$")
_QUESTION = "Why is the sky blue?"
_TOKENS = 60


class Use(BaseModel):
    """The ways to ask an endpoint, as lines for a shell; none of them holds its key.

    `place` are the options that name its workspace to this program's commands. `chats` where it takes
    OpenAI's requests; `authorities` is the file of certificates by which it is trusted, empty for the usual.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: str
    address: str
    place: tuple[str, ...] = ()
    chats: bool = False
    authorities: str = ""

    @property
    def openai(self) -> str | None:
        """The base address for OpenAI's clients; None where the endpoint does not take their requests."""
        return f"{_ROUTE.sub('', self.address)}/v1" if self.chats else None

    @property
    def key(self) -> str:
        """The line that puts the key into the environment, where the other lines look for it."""
        return f"export {KEY}=$({self._command('--key')})"

    @property
    def stop(self) -> str:
        """The line that deletes the endpoint."""
        return self._command("--delete")

    @property
    def curl(self) -> str:
        trust = f"--cacert {shlex.quote(self.authorities)} " if self.authorities else ""
        body = shlex.quote(json.dumps(self._body()))
        return (
            f'curl -sS {trust}{self.address} -H "Authorization: Bearer ${KEY}" '
            f'-H "Content-Type: application/json" -d {body}'
        )

    @property
    def python(self) -> str:
        verify = f", verify={json.dumps(self.authorities)}" if self.authorities else ""
        headers = f'headers={{"Authorization": "Bearer " + os.environ["{KEY}"]}}'
        # Written as JSON, whose quotes are not those of the shell.
        body, address = json.dumps(self._body()), json.dumps(self.address)
        asked = f"requests.post({address}, json={body}, {headers}{verify})"
        return shlex.join([*_program(), "python", "-c", f"import os, requests; print({asked}.json())"])

    def lines(self) -> list[tuple[str, str]]:
        """All of it in the order in which it is needed, each with what it is."""
        lines = [("address", self.address)]
        lines += [("for OpenAI's clients", self.openai)] if self.openai else []
        return [*lines, *self.commands()]

    def text(self) -> str:
        """The same for a shell, where what each is stands in a comment."""
        return "\n".join(f"# {what}\n{line}" for what, line in self.lines())

    def commands(self) -> list[tuple[str, str]]:
        """What is to be typed, each with what it does."""
        return [
            ("its key", self.key),
            ("ask by curl", self.curl),
            ("ask by Python", self.python),
            ("stop it", self.stop),
        ]

    def _command(self, option: str) -> str:
        return shlex.join([*_program(), "finetune", "endpoint", self.endpoint, option, *self.place])

    def _body(self) -> dict[str, Any]:
        """A request that both of Azure's chat images take."""
        asked = {
            "input_string": [{"role": "user", "content": _QUESTION}],
            "parameters": {"max_new_tokens": _TOKENS},
        }
        return {"input_data": asked}


def of_endpoint(session: Session, name: str, place: tuple[str, ...]) -> Use:
    """How the endpoint is asked, by its address and the image of what has most of its traffic.

    Raises Failure where there is no such endpoint.
    """
    found = endpoints.find(session, name)
    if found is None:
        raise Failure(
            f"There is no endpoint {name!r} in {session.workspace}.",
            "`finetune ps` lists those that there are.",
            cause=Cause.NOT_FOUND,
        )
    return Use(
        endpoint=name,
        address=found.scoring_uri,
        place=place,
        chats=_chats(session, found),
        authorities=clients.authorities() or "",
    )


def of_kept(
    session: Session, things: Iterable[Leased], place: tuple[str, ...], now: datetime
) -> tuple[Use, ...]:
    """How those are asked that are kept on purpose; one that is deleted meanwhile is left out."""
    uses = []
    for each in things:
        if each.kind is Kind.ENDPOINT and each.kept and not each.expired(now):
            with contextlib.suppress(Failure):
                uses.append(of_endpoint(session, each.name, place))
    return tuple(uses)


def _chats(session: Session, found: Any) -> bool:
    traffic = found.traffic or {}
    most = max(traffic, key=lambda each: traffic[each], default=None)
    if most is None:
        return False
    with contextlib.suppress(ResourceNotFoundError):  # deleted meanwhile
        model = clients.workspace(session).online_deployments.get(most, found.name).model
        image = image_of_model(session, str(model))
        return image is not None and image.chats
    return False


def _program() -> tuple[str, ...]:
    """How the program is called at this terminal: `uv run`, which tells what it runs, or by itself."""
    return ("uv", "run") if "UV_RUN_RECURSION_DEPTH" in os.environ else ()

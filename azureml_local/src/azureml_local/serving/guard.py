"""Who may ask a model server: the workspace alone, which knows the token that the server has announced.

The server listens on loopback, where every user of the machine and every page in a browser can reach it.
"""

from __future__ import annotations

import hmac
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.serving.answers import refusal


@dataclass(frozen=True)
class Announcement:
    """Where a model server answers on 127.0.0.1, and the token that it wants to see."""

    port: int
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What a request must carry."""
        return {"Authorization": f"Bearer {self.token}"}

    def write(self, path: Path) -> None:
        """Write it for its owner alone, and in one step: whoever reads the file reads it whole."""
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Announcement | None:
        """What a server has written there; None as long as there is nothing of the kind."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            return cls(**json.loads(path.read_text()))
        return None


class Guard:
    """Lets requests through that carry the token; others get 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).get("authorization", "")
            if not hmac.compare_digest(given.encode(errors="replace"), self._expected):
                message = "the model server answers its workspace alone: ask the endpoint"
                await refusal(message, 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)

"""What every kind of scorer needs to read a request and to refuse one."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, Response


def parsed(body: bytes) -> Any:
    """The request's JSON; raises ValueError with a readable message."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise ValueError(f"the request body is not valid JSON: {error}") from error


def refusal(message: str, status: int = 400) -> Response:
    """An error answer as JSON."""
    code = "BadRequest" if status < 500 else "ModelError"
    return JSONResponse({"error": {"code": code, "message": message}}, status)

"""A user's scoring script, run as Azure's inference server runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.serving import raw_http
from azureml_local.serving.answers import refusal
from azureml_local.serving.script_input import BadInput, ScriptInput

logger = logging.getLogger(__name__)


class ScriptScorer:
    """Calls the script's ``init()`` once and its ``run()`` for each request.

    What ``run`` is given: see script_input. What it returns is sent as JSON, a string too: a script that
    returns ``json.dumps(…)`` answers a JSON string, as on Azure. An AMLResponse is sent as it is.
    """

    # Whatever of them run() does not take, is refused by the script's input.
    methods: Sequence[str] = ("GET", "POST", "PUT", "PATCH", "DELETE")

    def __init__(self, script: Path) -> None:
        raw_http.offer()
        self._module = _imported(script)
        self._input = ScriptInput(self._module.run)
        self._turn = threading.Lock()  # Azure's server has one worker, which answers one request at a time
        self._flask = flask.Flask("scoring")
        self._flask.request_class = raw_http.AMLRequest
        self._module.init()

    async def score(self, request: Request, body: bytes) -> Response:
        return await asyncio.to_thread(self._score, _environ(request, body))

    def close(self) -> None:
        """The script holds what it holds until the process ends."""

    def _score(self, environ: dict[str, Any]) -> Response:
        with self._flask.request_context(environ):
            try:
                arguments = self._input.arguments(flask.request)
                with self._turn:
                    result = self._module.run(**arguments)
            except BadInput as error:
                return refusal(str(error), error.status)
            except Exception as error:  # the script is the user's; its log tells what it did
                logger.exception("run() of the scoring script failed")
                return refusal(f"run() failed: {error}", 500)
            if isinstance(result, flask.Response):
                return _as_it_is(result)
        try:
            return JSONResponse(result)
        except (TypeError, ValueError) as error:
            return refusal(f"run() returned something JSON cannot hold: {error}", 500)


def _environ(request: Request, body: bytes) -> dict[str, Any]:
    """The request as WSGI has it, for Flask; the token that opens this server is nobody else's."""
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.headers.items()
        if name not in ("authorization", "content-type", "content-length")
    }
    return {
        **headers,
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.url.path,
        "QUERY_STRING": request.url.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(request.url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
    }


def _as_it_is(answer: flask.Response) -> Response:
    """What the script has put together, headers that occur more than once included."""
    sent = Response(answer.get_data(), answer.status_code)
    sent.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
    ]
    return sent


def _imported(script: Path) -> ModuleType:
    if not script.is_file():
        raise FileNotFoundError(f"the scoring script {script} does not exist in the deployment's code")
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise AttributeError(f"the scoring script {script.name} must define {name}()")
    return module

"""Azure's inference server, in an environment of its own, behind the model server's door.

The package azureml-inference-server-http has the Flask application that Azure's images run under gunicorn
(read in its versions 0.8 to 1.5: `azureml_inference_server_http.server.entry:app`). Its own program listens
for everybody in the network; here gunicorn gets a socket that only this user can open.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from azureml_local.serving.answers import refusal

logger = logging.getLogger(__name__)

_APPLICATION = "azureml_inference_server_http.server.entry:app"
_LONGEST = 3600.0  # seconds: whoever asks gives up long before, and gunicorn ends a worker that hangs
_SOCKET, _CONFIGURATION = "socket", "gunicorn.conf.py"
_ENDED = 1  # our own exit status where the server has ended with none that says so
# Of a connection itself, and what opens this server.
_NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "authorization"})


def create(python: Path, environment: Mapping[str, str]) -> Starlette:
    """The application that leads every request to the server in that environment, which it starts.

    `python` is the folder of the executables. When the server ends, this process does so too.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gunicorn logs every request
    # A Unix socket's path has room for about 100 bytes: not where the deployment's files are.
    folder = Path(tempfile.mkdtemp(prefix="azureml-local-"))
    client = httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(folder / _SOCKET)),
        base_url="http://localhost",
        timeout=_LONGEST,
    )
    (folder / _CONFIGURATION).write_text("control_socket_disable = True\n")  # it would be in the user's home
    child = subprocess.Popen(_command(python, folder, environment), env=_variables(environment))
    threading.Thread(target=_end_with, args=(child, folder), daemon=True).start()

    async def forward(request: Request) -> Response:
        return await _forwarded(client, request, request.url.path)

    async def health(request: Request) -> Response:
        return await _forwarded(client, request, "/")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()
        child.terminate()
        shutil.rmtree(folder, ignore_errors=True)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [Route("/health", health), Route("/{path:path}", forward, methods=methods)]
    return Starlette(routes=routes, lifespan=lifespan)


def _command(python: Path, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The command line that azmlinfsrv gives gunicorn, by the variables that it knows."""
    workers, seconds = environment.get("WORKER_COUNT", "1"), environment.get("WORKER_TIMEOUT", "300")
    # A file, since gunicorn passes over what its version does not know there.
    options = ["--config", str(folder / _CONFIGURATION), "--bind", f"unix:{folder / _SOCKET}"]
    options += ["--workers", workers, "--timeout", seconds]
    options += ["--access-logfile", "-", "--error-logfile", "-"]
    if environment.get("WORKER_PRELOAD", "").casefold() == "true":
        options.append("--preload")
    return [str(python / "python"), "-m", "gunicorn", *options, _APPLICATION]


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {"AML_APP_INSIGHTS_ENABLED": "false", **environment}


def _end_with(child: subprocess.Popen[bytes], folder: Path) -> None:
    code = child.wait()
    logger.error("the inference server ended with status %d", code)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code if code > 0 else _ENDED)


async def _forwarded(client: httpx.AsyncClient, request: Request, path: str) -> Response:
    url = httpx.URL(path=path, query=request.url.query.encode() or None)
    headers = [(name, value) for name, value in request.headers.items() if name not in _NOT_PASSED_ON]
    asked = client.build_request(request.method, url, headers=headers, content=await request.body())
    try:
        answer = await client.send(asked, stream=True)
    except httpx.TransportError as error:
        return refusal(f"the inference server does not answer: {error}", 502)
    sent = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
    sent.raw_headers = [pair for pair in answer.headers.raw if pair[0].decode().lower() not in _NOT_PASSED_ON]
    return sent

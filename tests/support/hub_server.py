"""A loopback server with those routes of the hub that the libraries use to list and read a dataset."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support.waiting import until

REPOSITORY = "someone/chats"
GATED = "someone/gated"
COMMIT = "5" * 40
REVISIONS = {"main": COMMIT, "v1": COMMIT, COMMIT: COMMIT}


@dataclass
class HubServer:
    """Where it is, and how many bytes of large files it has sent."""

    url: str = ""
    bytes: int = 0


@contextmanager
def serving_hub(folder: Path) -> Iterator[HubServer]:
    """Serve the folder as the dataset REPOSITORY while the block runs."""
    found = HubServer()
    config = uvicorn.Config(_app(folder, found), port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    found.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.should_exit = True
        thread.join()


def _app(folder: Path, found: HubServer) -> Any:
    def refused(request: Request) -> Response | None:
        """What the hub says of a dataset or a revision that it has not, or not for everybody."""
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        if name == GATED:
            return Response(status_code=401, headers={"X-Error-Code": "GatedRepo"})
        if name != REPOSITORY:
            return Response(status_code=401, headers={"X-Error-Code": "RepoNotFound"})
        if request.path_params.get("revision", "main") not in REVISIONS:
            return Response(status_code=404, headers={"X-Error-Code": "RevisionNotFound"})
        return None

    def info(request: Request) -> Response:
        answer = {"id": REPOSITORY, "sha": COMMIT, "private": False, "tags": [], "siblings": []}
        return refused(request) or JSONResponse(answer)

    def tree(request: Request) -> Response:
        if refusal := refused(request):
            return refusal
        inside = folder / request.path_params.get("path", "")
        if not inside.is_dir():
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound"})
        below = inside.rglob("*") if request.query_params.get("recursive") == "True" else inside.iterdir()
        return JSONResponse([_entry(folder, path) for path in sorted(below)])

    async def paths_info(request: Request) -> Response:
        if refusal := refused(request):
            return refusal
        async with request.form() as form:
            asked = [folder / str(path) for path in form.getlist("paths")]
        return JSONResponse([_entry(folder, path) for path in asked if path.exists()])

    def resolve(request: Request) -> Response:
        if refusal := refused(request):
            return refusal
        path = folder / request.path_params["path"]
        if not path.is_file():
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_hash(path)}"'}
        if path.suffix != ".parquet":
            return FileResponse(path, headers=headers)
        linked = {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(path.stat().st_size)}
        return RedirectResponse(f"{found.url}/cdn/{path.relative_to(folder)}", 302, headers | linked)

    def content(request: Request) -> Response:
        return FileResponse(folder / request.path_params["path"])

    dataset, data = "/api/datasets/{owner}/{name}", "/datasets/{owner}/{name}"
    app = Starlette(
        routes=[
            Route(dataset, info),
            Route(f"{dataset}/revision/{{revision}}", info),
            Route(f"{dataset}/tree/{{revision}}", tree),
            Route(f"{dataset}/tree/{{revision}}/{{path:path}}", tree),
            Route(f"{dataset}/paths-info/{{revision}}", paths_info, methods=["POST"]),
            Route(f"{data}/resolve/{{revision}}/{{path:path}}", resolve),
            Route("/cdn/{path:path}", content),
        ]
    )

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if scope["path"].startswith("/cdn/") and scope["method"] == "GET":
                found.bytes += len(message.get("body", b""))
            await send(message)

        await app(scope, receive, sent)

    return counted


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(folder))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    size, oid = path.stat().st_size, _hash(path)
    entry: dict[str, Any] = {"type": "file", "path": name, "oid": oid[:40], "size": size}
    return entry | (
        {"lfs": {"oid": oid, "size": size, "pointerSize": 1}} if path.suffix == ".parquet" else {}
    )


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

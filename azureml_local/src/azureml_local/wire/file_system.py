"""File systems of Data Lake Storage Gen2, as far as azure-ai-ml sends files there and gets them back.

Documented (REST reference of Data Lake Storage Gen2, Path and Filesystem): files are made empty, their parts
appended and then flushed; folders are made, and a folder's paths listed. What else a file system can do
(renaming, access lists, leases) is refused. Reading, metadata and making a file system go by the blob
endpoint, as the SDK's client sends them (wire/blob.py). That a file lists itself is assumed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.utils import format_datetime
from functools import partial
from itertools import islice
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.errors import BadRequest, Conflict, ServiceError
from azureml_local.state.file_systems import Entry
from azureml_local.wire import blob_conditions, storage
from azureml_local.wire.arm import flag, integer, workspace_of

_MOST = 5000  # paths on one page, as documented


async def file_system(request: Request) -> Response:
    """List the paths of a file system."""
    return await storage.answered(request, _file_system, storage.json_error)


async def path(request: Request) -> Response:
    """Make a file or folder, or write to a file."""
    return await storage.answered(request, _path, storage.json_error)


async def _file_system(request: Request) -> Response:
    name = request.path_params["container"]
    if request.method != "GET" or request.query_params.get("resource") != "filesystem":
        raise _unsupported(request)
    storage.authorize(request, name, "", "l")
    return await run_in_threadpool(_list, request, name)


async def _path(request: Request) -> Response:
    query, names = request.query_params, request.path_params
    where = names["container"], names["path"].strip("/")
    storage.authorize(request, *where, "cw")
    if "x-ms-rename-source" in request.headers or request.headers.get("x-ms-properties"):
        raise _unsupported(request)
    match request.method, query.get("resource"), query.get("action"):
        case "PUT", "directory", None:
            return await run_in_threadpool(_make_folder, request, *where)
        case "PUT", "file", None:
            return await run_in_threadpool(_make_file, request, *where)
        case "PATCH", None, "append":
            return await _append(request, *where)
        case "PATCH", None, "flush":
            return await run_in_threadpool(_flush, request, *where)
        case _:
            raise _unsupported(request)


def _list(request: Request, container: str) -> Response:
    """One page of paths; the next begins after the name that the header says."""
    query, limit = request.query_params, min(integer(request, "maxResults", _MOST), _MOST) or _MOST
    folder, recursive = query.get("directory", "").strip("/"), flag(request, "recursive")
    found = workspace_of(request).file_systems.entries(container, folder, recursive=recursive)
    rest = _after(found, query.get("continuation", ""))
    shown = list(islice(rest, limit))
    headers = {"x-ms-continuation": _token(shown[-1].name)} if next(rest, None) is not None else {}
    return JSONResponse({"paths": [_shown(each) for each in shown]}, headers=headers)


def _make_folder(request: Request, container: str, name: str) -> Response:
    workspace = workspace_of(request)
    if request.headers.get("if-none-match") == "*" and workspace.blobs.path(container, name).exists():
        raise Conflict("The specified path already exists.", code="PathAlreadyExists")
    made = workspace.file_systems.make(container, name)
    return Response(status_code=201, headers=storage.times(made))


def _make_file(request: Request, container: str, name: str) -> Response:
    """An empty file in the place of any that was there."""
    workspace = workspace_of(request)
    with workspace.blobs.staged() as staged:
        staged.touch()
        made = workspace.blobs.commit(
            container,
            name,
            staged,
            may_replace=lambda: blob_conditions.may_replace(request, container, name),
        )
    workspace.blocks.discard(container, name)
    return Response(status_code=201, headers=storage.times(made))


async def _append(request: Request, container: str, name: str) -> Response:
    reserve = partial(workspace_of(request).blocks.append, container, name, _position(request))
    await storage.receive_part(request, reserve)
    return Response(status_code=202, headers={"x-ms-request-server-encrypted": "true"})


def _flush(request: Request, container: str, name: str) -> Response:
    made = workspace_of(request).blocks.flush(container, name, _position(request))
    return Response(headers={**storage.times(made), "x-ms-request-server-encrypted": "true"})


def _position(request: Request) -> int:
    if "position" not in request.query_params:
        raise BadRequest("The query parameter position is missing.", code="MissingRequiredQueryParameter")
    return integer(request, "position", 0)


def _after(found: Iterator[Entry], token: str) -> Iterator[Entry]:
    """What follows the name that the token holds."""
    if not token:
        return found
    try:
        last = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        last = ""
    if not any(each.name == last for each in found):
        raise BadRequest("The continuation is not one of this list's.", code="InvalidQueryParameterValue")
    return found


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _shown(entry: Entry) -> dict[str, Any]:
    """A path as the list has it, numbers and truth values as text."""
    return {
        "name": entry.name,
        **({"isDirectory": "true"} if entry.is_folder else {}),
        "contentLength": str(entry.size),
        "lastModified": format_datetime(entry.modified, usegmt=True),
        "etag": entry.etag.strip('"'),
        "owner": "$superuser",
        "group": "$superuser",
        "permissions": "rwxr-x---" if entry.is_folder else "rw-r-----",
    }


def _unsupported(request: Request) -> ServiceError:
    query = ", ".join(
        f"{key}={request.query_params[key]!r}"
        for key in ("resource", "action")
        if key in request.query_params
    )
    return BadRequest(
        f"{request.method} with {query or 'nothing'} is not done in file systems here.",
        code="UnsupportedQueryParameter",
    )


_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"]


def routes_below(dfs_path: str) -> list[Route]:
    """The account's routes; `dfs_path` is as in Settings."""
    return [
        Route(dfs_path + "/{container}", file_system, methods=_METHODS),
        Route(dfs_path + "/{container}/{path:path}", path, methods=_METHODS),
    ]

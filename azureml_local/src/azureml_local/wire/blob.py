"""Blob storage, path style: containers and block blobs, as far as the storage SDK uses them here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from azureml_local.errors import BadRequest, Conflict, ServiceError
from azureml_local.state.blob import Blob, BlobProperties
from azureml_local.state.file_systems import Entry
from azureml_local.wire import blob_conditions, storage
from azureml_local.wire.arm import read, workspace_of
from azureml_local.wire.blob_list import listed

_CHUNK = 2**20
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_METADATA_LIMIT = 8192  # bytes, as Azure's
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_BLOCK_LIST_LIMIT = 32 * 2**20


async def account(request: Request) -> Response:
    """List blobs of the container that begins the prefix, as if the account were a container itself.

    In an address of path style azure-ai-ml takes the account for the container, and that for a folder.
    """
    return await storage.answered(request, _account)


async def container(request: Request) -> Response:
    """Create, look at or list a container."""
    return await storage.answered(request, _container)


async def blob(request: Request) -> Response:
    """Read, write or delete a blob."""
    return await storage.answered(request, _blob)


async def _account(request: Request) -> Response:
    query = request.query_params
    if (request.method, query.get("restype"), query.get("comp")) != ("GET", "container", "list"):
        raise _unsupported(request)
    name, _, prefix = query.get("prefix", "").partition("/")
    storage.authorize(request, name, "", "l")
    return await run_in_threadpool(listed, request, name, prefix, f"{name}/")


async def _container(request: Request) -> Response:
    name, action = request.path_params["container"], request.query_params.get("comp")
    if request.query_params.get("restype") != "container":
        raise BadRequest("The query must say restype=container.", code="InvalidQueryParameterValue")
    if request.method == "GET" and action == "list":
        storage.authorize(request, name, "", "l")
        return await run_in_threadpool(listed, request, name, request.query_params.get("prefix", ""))
    if request.method in ("GET", "HEAD") and action is None:
        storage.authorize(request, name, "", "rl")
        workspace_of(request).blobs.path(name, "")
        return Response(headers={"x-ms-has-immutability-policy": "false"})
    if request.method == "PUT" and action is None:
        storage.authorize_new(request, name)
        if not workspace_of(request).blobs.create_container(name):
            raise Conflict("The specified container already exists.", code="ContainerAlreadyExists")
        return Response(status_code=201)
    raise _unsupported(request)


async def _blob(request: Request) -> Response:
    where = request.path_params["container"], request.path_params["blob"]
    action, method = request.query_params.get("comp"), request.method
    storage.authorize(request, *where, {"GET": "r", "HEAD": "r", "DELETE": "d"}.get(method, "cw"))
    if method == "PUT":
        return await _put(request, *where, action)
    if method == "DELETE" and action is None:
        return await run_in_threadpool(_delete, request, *where)
    if method in ("GET", "HEAD") and action in (None, "metadata"):
        return await run_in_threadpool(_get, request, *where)
    raise _unsupported(request)


async def _put(request: Request, container: str, name: str, action: str | None) -> Response:
    if "x-ms-copy-source" in request.headers:
        raise BadRequest("Copying from a URL is not supported here.", code="UnsupportedHeader")
    if action == "metadata":
        return await run_in_threadpool(_put_metadata, request, container, name)
    if action == "block":
        return await _put_block(request, container, name)
    if action == "blocklist":
        blocks = _block_ids(await read(request, _BLOCK_LIST_LIMIT))
        return await run_in_threadpool(_put_block_list, request, container, name, blocks)
    if action is not None:
        raise _unsupported(request)
    if request.headers.get("x-ms-blob-type") != "BlockBlob":
        raise BadRequest(
            "Only block blobs are supported: x-ms-blob-type must be BlockBlob.", code="InvalidHeaderValue"
        )
    return await _put_blob(request, container, name)


async def _put_blob(request: Request, container: str, name: str) -> Response:
    workspace_of(request).blobs.path(container, name)  # refuse a bad name before its body is read
    async with storage.received(request) as (staged, digest):
        made = await run_in_threadpool(_commit, request, container, name, staged, digest)
    return Response(status_code=201, headers=_written(made))


async def _put_block(request: Request, container: str, name: str) -> Response:
    block = request.query_params.get("blockid", "")
    if not 0 < len(block) <= 128:
        raise BadRequest(
            "The query parameter blockid is missing or too long.", code="InvalidQueryParameterValue"
        )
    await storage.receive_part(request, partial(workspace_of(request).blocks.stage, container, name, block))
    return Response(status_code=201, headers={"x-ms-request-server-encrypted": "true"})


def _commit(request: Request, container: str, name: str, staged: Path, digest: str) -> Blob:
    may_replace = partial(blob_conditions.may_replace, request, container, name)
    properties = _given_properties(request, digest)
    return workspace_of(request).blobs.commit(container, name, staged, properties, may_replace=may_replace)


def _put_block_list(request: Request, container: str, name: str, blocks: list[str]) -> Response:
    may_replace = partial(blob_conditions.may_replace, request, container, name)
    properties = _given_properties(request, request.headers.get("x-ms-blob-content-md5"))
    made = workspace_of(request).blocks.commit(container, name, blocks, properties, may_replace=may_replace)
    return Response(status_code=201, headers=_written(made))


def _put_metadata(request: Request, container: str, name: str) -> Response:
    workspace = workspace_of(request)
    if workspace.file_systems.folder(container, name) is not None:
        folder = workspace.file_systems.set_metadata(container, name, _metadata(request))
        return Response(status_code=200, headers=storage.times(folder))
    with workspace.blobs.unchanged():
        blob_conditions.check(request, workspace.blobs.get(container, name))
        made = workspace.blobs.set_metadata(container, name, _metadata(request))
    return Response(status_code=200, headers=_written(made))


def _get(request: Request, container: str, name: str) -> Response:
    """The content, or what is said of it. Opened at once, it stays what it was if another takes its place."""
    workspace = workspace_of(request)
    blobs = workspace.blobs
    if (folder := workspace.file_systems.folder(container, name)) is not None:
        return Response(headers=_of_folder(*folder))
    with ExitStack() as opened:
        with blobs.unchanged():
            found = blobs.get(container, name)
            file = opened.enter_context(blobs.open(container, name))
        response = _of_opened(request, found, file)
        if isinstance(response, StreamingResponse):
            opened.pop_all()  # closed when all of it is sent
        return response


def _of_opened(request: Request, found: Blob, file: BinaryIO) -> Response:
    headers = _properties(found)
    if blob_conditions.is_known(request, found):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD" or request.query_params.get("comp") == "metadata":
        length = "0" if request.method == "GET" else str(found.size)
        return Response(status_code=200, headers=headers | {"Content-Length": length})
    wanted = _RANGE.match(request.headers.get("x-ms-range") or request.headers.get("range") or "")
    if wanted is None:
        return _content(found, file, 0, found.size, headers)
    start, end = int(wanted[1]), int(wanted[2]) if wanted[2] else found.size - 1
    if start >= found.size or end < start:
        raise ServiceError(416, "InvalidRange", "The range given is invalid for the blob's current size.")
    end = min(end, found.size - 1)
    headers["Content-Range"] = f"bytes {start}-{end}/{found.size}"
    return _content(found, file, start, end - start + 1, headers)


def _content(found: Blob, file: BinaryIO, start: int, length: int, headers: dict[str, str]) -> Response:
    headers["Content-Length"] = str(length)
    status = 206 if "Content-Range" in headers else 200
    return StreamingResponse(_read(file, start, length), status, headers, found.content_type)


def _read(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk


def _delete(request: Request, container: str, name: str) -> Response:
    workspace = workspace_of(request)
    with workspace.blobs.unchanged():
        blob_conditions.check(request, workspace.blobs.get(container, name))
        workspace.blobs.delete(container, name)
    return Response(status_code=202, headers={"x-ms-delete-type-permanent": "true"})


def _given_properties(request: Request, md5: str | None) -> BlobProperties:
    """What the headers say of the blob."""
    return BlobProperties(
        content_type=request.headers.get("x-ms-blob-content-type"),
        content_md5=md5,
        metadata=_metadata(request),
    )


def _metadata(request: Request) -> dict[str, str]:
    prefix = "x-ms-meta-"
    found = {k[len(prefix) :]: v for k, v in request.headers.items() if k.startswith(prefix)}
    for name in found:
        if not _METADATA_NAME.match(name):
            raise BadRequest(f"{name!r} cannot be the name of metadata.", code="InvalidMetadata")
    if sum(len(k) + len(v) for k, v in found.items()) > _METADATA_LIMIT:
        raise BadRequest("The metadata is larger than 8 KB.", code="MetadataTooLarge")
    return found


def _block_ids(content: bytes) -> list[str]:
    if b"<!DOCTYPE" in content.upper():
        raise BadRequest("The block list must not declare a document type.", code="InvalidXmlDocument")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as error:
        raise BadRequest(f"The block list is not valid XML: {error}.", code="InvalidXmlDocument") from error
    return [element.text or "" for element in root if element.tag in ("Latest", "Uncommitted", "Committed")]


def _written(made: Blob) -> dict[str, str]:
    headers = {**storage.times(made), "x-ms-request-server-encrypted": "true"}
    return headers | ({"Content-MD5": made.content_md5} if made.content_md5 else {})


def _properties(found: Blob) -> dict[str, str]:
    modified = format_datetime(found.modified, usegmt=True)
    headers = {
        "ETag": found.etag,
        "Last-Modified": modified,
        "Content-Type": found.content_type,
        "Accept-Ranges": "bytes",
        "x-ms-creation-time": modified,
        "x-ms-blob-type": "BlockBlob",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "false",
    }
    if found.content_md5:
        headers["x-ms-blob-content-md5"] = found.content_md5
    return headers | {f"x-ms-meta-{key}": value for key, value in found.metadata.items()}


def _of_folder(folder: Entry, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is said of a folder: as of an empty blob with a mark (documented: Get Blob Properties of Gen2)."""
    headers = {**storage.times(folder), "Content-Length": "0", "x-ms-blob-type": "BlockBlob"}
    marked = {**metadata, "hdi_isfolder": "true"}
    return headers | {f"x-ms-meta-{key}": value for key, value in marked.items()}


def _unsupported(request: Request) -> ServiceError:
    action = request.query_params.get("comp", "")
    return BadRequest(
        f"{request.method} with comp={action!r} is not supported here.", code="UnsupportedQueryParameter"
    )


_METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"]


def routes_below(blob_path: str) -> list[Route]:
    """The account's routes; `blob_path` is the account's own path, as in Settings."""
    return [
        Route(blob_path, account, methods=_METHODS),
        Route(blob_path + "/{container}", container, methods=_METHODS),
        Route(blob_path + "/{container}/{blob:path}", blob, methods=_METHODS),
    ]

"""What blobs and file systems have in common: who may, bodies that become files, and the shape of errors."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Forbidden, LengthRequired, ServiceError, TooLarge
from azureml_local.execution.workspace import Workspace
from azureml_local.state.blob import Blob
from azureml_local.state.documents import DATASTORES
from azureml_local.state.file_systems import Entry
from azureml_local.state.parts import Writing
from azureml_local.state.places import container_of
from azureml_local.wire.arm import workspace_of
from azureml_local.wire.blob_list import xml_text

_AUDIENCE = "https://storage.azure.com"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
# By the last letter of what a signature would have to permit.
_DATA_ACTIONS = {"r": "read", "l": "read", "d": "delete", "w": "write"}
Handler = Callable[[Request], Awaitable[Response]]


def xml_error(error: ServiceError) -> Response:
    """An error as blob storage has it."""
    text = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{escape(error.code)}</Code><Message>{xml_text(error.message, '?')}</Message></Error>"
    )
    return Response(text, error.status, media_type="application/xml")


def json_error(error: ServiceError) -> Response:
    """An error as Data Lake Storage has it (documented: its REST reference, Path and Filesystem)."""
    return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status)


async def answered(
    request: Request, handle: Handler, shown: Callable[[ServiceError], Response] = xml_error
) -> Response:
    """The handler's answer, or its error as storage words it, with the code in a header."""
    try:
        response = await handle(request)
    except ServiceError as error:
        response = Response(status_code=error.status) if request.method == "HEAD" else shown(error)
        response.headers["x-ms-error-code"] = error.code
    response.headers["x-ms-version"] = request.headers.get("x-ms-version", "2023-11-03")[:32]
    return response


def times(found: Blob | Entry) -> dict[str, str]:
    """The headers that say of which moment it is."""
    return {"ETag": found.etag, "Last-Modified": format_datetime(found.modified, usegmt=True)}


def authorize(request: Request, container: str, name: str, permissions: str) -> None:
    """Raise unless a token or a signature allows one of `permissions`, letters of a signature, there.

    A signature that a datastore was given opens its place, as it would the account that this one stands for.
    """
    query, workspace = request.query_params, workspace_of(request)
    if "sig" not in query and "authorization" in request.headers:
        _authorize_bearer(request, _DATA_ACTIONS[permissions[-1]])
    elif not _is_given(workspace, query.get("sig", ""), container):
        workspace.tokens.check_sas(query, container, name, permissions)


def authorize_new(request: Request, container: str) -> None:
    """Raise unless the container may be made: with a token, or with a signature of the whole account.

    One that a datastore was given is taken for such a signature: with a container's own azure-ai-ml could not
    use a file system, as it begins by making it.
    """
    query, workspace = request.query_params, workspace_of(request)
    if _is_given(workspace, query.get("sig", ""), container):
        return
    if "srt" in query:
        workspace.tokens.check_sas(query, container, "", "cw")
    else:
        _authorize_bearer(request, "write")


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[tuple[Path, str]]:
    """The body in a staged file and its base64 MD5; raises as `write_body`."""
    with workspace_of(request).blobs.staged() as staged:
        with staged.open("wb") as file:
            digest = await write_body(request, file)
        yield staged, digest


async def receive_part(request: Request, reserve: Callable[[int], Writing]) -> None:
    """Write the body where it is reserved room of its length; raises as `write_body`.

    Documented for Put Block since version 2019-02-02: an MD5 is taken only of what came with one.
    """
    length = request.headers.get("content-length")
    if length is None:
        raise LengthRequired("The header Content-Length is missing.")
    writing = await run_in_threadpool(reserve, int(length))
    try:
        await write_body(request, writing.file, with_digest="content-md5" in request.headers)
    except BaseException:
        await run_in_threadpool(writing.release)
        raise
    await run_in_threadpool(writing.keep)


async def write_body(request: Request, file: BinaryIO, *, with_digest: bool = True) -> str:
    """Write the body to the file; its base64 MD5, empty where none is wanted.

    Raises TooLarge, or BadRequest for another MD5 than was sent.
    """
    limit = workspace_of(request).settings.blob_limit
    digest, size = hashlib.md5(usedforsecurity=False), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"The body is larger than the {limit} bytes allowed.", code="RequestBodyTooLarge")
        if with_digest:
            digest.update(chunk)
        file.write(chunk)
    found = base64.b64encode(digest.digest()).decode() if with_digest else ""
    if not hmac.compare_digest(request.headers.get("content-md5", found).encode(), found.encode()):
        raise BadRequest("The MD5 of the body is not the one given in Content-MD5.", code="Md5Mismatch")
    return found


def _is_given(workspace: Workspace, signature: str, container: str) -> bool:
    """Whether a datastore of that place was made with a signature like this."""
    for _, document in workspace.store.list(DATASTORES):
        token = document.get("secrets", {}).get("sasToken")
        if token and container_of(document["properties"]) == container:
            known = parse_qs(token.lstrip("?")).get("sig", [""])[0]
            if known and hmac.compare_digest(known.encode(), signature.encode()):
                return True
    return False


def _authorize_bearer(request: Request, action: str) -> None:
    """Raise unless the token is valid and a role allows the action on data (documented: Blob Storage, RBAC).

    A job's own token is judged by the cluster's identity, when the step begins (see execution/step.py).
    """
    workspace = workspace_of(request)
    claims = workspace.tokens.check(request.headers.get("authorization"), _AUDIENCE)
    if "run" not in claims and not workspace.access.allows(
        f"{_BLOBS}/{action}", workspace.settings.storage_account_arm_id, data=True
    ):
        raise Forbidden(
            "This request is not authorized to perform this operation using this permission.",
            code="AuthorizationPermissionMismatch",
        )

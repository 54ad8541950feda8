"""Conditions of a request on a blob: its ETag, its time, and whether it is there.

Documented in learn.microsoft.com/rest/api/storageservices under "Specifying conditional headers for Blob
service operations". Leases are not kept here, so that a request that names one is refused as for a blob
without any.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from starlette.requests import Request

from azureml_local.errors import BadRequest, Conflict, NotFound, PreconditionFailed
from azureml_local.state.blob import Blob
from azureml_local.wire.arm import workspace_of


def may_replace(request: Request, container: str, name: str) -> bool:
    """Whether a write may take a blob's place; raises where the conditions do not hold."""
    try:
        found = workspace_of(request).blobs.get(container, name)
    except NotFound:
        _check_lease(request)
        if "if-match" in request.headers:
            raise PreconditionFailed("There is no blob to match.", code="ConditionNotMet") from None
        return True
    if request.headers.get("if-none-match") == "*":
        raise Conflict("The specified blob already exists.", code="BlobAlreadyExists")
    check(request, found)
    return True


def check(request: Request, found: Blob) -> None:
    """Raise PreconditionFailed for a change of a blob that is not as the request would have it."""
    _check_lease(request)
    if not _matches(request, found):
        raise PreconditionFailed(
            f"The blob's ETag is {found.etag}, and it is of {found.modified}: it has changed.",
            code="ConditionNotMet",
        )
    if is_known(request, found):
        raise PreconditionFailed(
            f"The blob's ETag is {found.etag}: it has not changed.", code="ConditionNotMet"
        )


def is_known(request: Request, found: Blob) -> bool:
    """Whether the client has this blob; raises PreconditionFailed for one that is another than it wants."""
    if not _matches(request, found):
        raise PreconditionFailed(
            f"The blob's ETag is {found.etag}, and it is of {found.modified}: it has changed.",
            code="ConditionNotMet",
        )
    if (tags := request.headers.get("if-none-match")) is not None:
        return _names(tags, found)
    since = _moment(request, "if-modified-since")
    return since is not None and _seconds(found) <= since


def _matches(request: Request, found: Blob) -> bool:
    tags = request.headers.get("if-match")
    if tags is not None and tags != "*" and not _names(tags, found):
        return False
    since = _moment(request, "if-unmodified-since")
    return since is None or _seconds(found) <= since


def _names(tags: str, found: Blob) -> bool:
    return found.etag.strip('"') in [tag.strip().removeprefix("W/").strip('"') for tag in tags.split(",")]


def _moment(request: Request, header: str) -> datetime | None:
    if (given := request.headers.get(header)) is None:
        return None
    try:
        moment = parsedate_to_datetime(given)
    except ValueError as error:
        raise BadRequest(f"{header} is no date of HTTP's.", code="InvalidHeaderValue") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(found: Blob) -> datetime:
    return found.modified.replace(microsecond=0)  # as Last-Modified says it


def _check_lease(request: Request) -> None:
    if "x-ms-lease-id" in request.headers:
        raise PreconditionFailed(
            "There is currently no lease on the blob.", code="LeaseNotPresentWithBlobOperation"
        )

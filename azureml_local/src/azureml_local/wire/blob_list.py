"""The list of a container's blobs, in XML."""

from __future__ import annotations

import base64
import re
from email.utils import format_datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

from azureml_local.errors import BadRequest
from azureml_local.state.blob import Blob
from azureml_local.wire.arm import integer, workspace_of

_LIST_LIMIT = 5000
# What XML 1.0 cannot carry; such a name is answered percent-encoded, and said to be.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def listed(request: Request, container: str, prefix: str, above: str = "") -> Response:
    """One page of names below a prefix, `above` before each; with a delimiter, folders stand for what is in
    them."""
    query = request.query_params
    delimiter, marker = query.get("delimiter", ""), _after(request)
    limit = min(integer(request, "maxresults", _LIST_LIMIT), _LIST_LIMIT) or _LIST_LIMIT
    with_metadata = "metadata" in query.get("include", "")
    entries: list[str] = []
    last, folder, more = "", "", False
    for found in workspace_of(request).blobs.list(container, prefix, after=marker):
        rest = found.name.removeprefix(prefix)
        if delimiter and delimiter in rest:
            inside = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if inside == folder or marker.startswith(inside):
                last = found.name
                continue
            folder, entry = inside, f"<BlobPrefix>{_name(above + inside)}</BlobPrefix>"
        else:
            entry = _entry(found, above, with_metadata)
        if len(entries) == limit:
            more = True
            break
        entries.append(entry)
        last = found.name
    text = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<EnumerationResults ServiceEndpoint="{escape(workspace_of(request).settings.blob_url)}/" '
        f'ContainerName="{escape(container)}"><Prefix>{xml_text(above + prefix)}</Prefix>'
        f"<MaxResults>{limit}</MaxResults><Blobs>{''.join(entries)}</Blobs>"
        f"<NextMarker>{_marker(last) if more else ''}</NextMarker></EnumerationResults>"
    )
    return Response(text, media_type="application/xml")


def _marker(name: str) -> str:
    """A name in a form that any XML and any query can carry."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def _after(request: Request) -> str:
    try:
        return base64.urlsafe_b64decode(request.query_params.get("marker", "")).decode()
    except ValueError as error:
        raise BadRequest(
            "The marker is not one of this list's.", code="InvalidQueryParameterValue"
        ) from error


def _entry(found: Blob, above: str, with_metadata: bool) -> str:
    modified = format_datetime(found.modified, usegmt=True)
    metadata = "".join(f"<{key}>{xml_text(value)}</{key}>" for key, value in found.metadata.items())
    return (
        f"<Blob>{_name(above + found.name)}<Properties><Creation-Time>{modified}</Creation-Time>"
        f"<Last-Modified>{modified}</Last-Modified><Etag>{escape(found.etag.strip(chr(34)))}</Etag>"
        f"<Content-Length>{found.size}</Content-Length>"
        f"<Content-Type>{xml_text(found.content_type)}</Content-Type>"
        "<BlobType>BlockBlob</BlobType><LeaseStatus>unlocked</LeaseStatus>"
        "<LeaseState>available</LeaseState><ServerEncrypted>false</ServerEncrypted></Properties>"
        + (f"<Metadata>{metadata}</Metadata>" if with_metadata else "")
        + "</Blob>"
    )


def _name(name: str) -> str:
    if _NOT_XML.search(name):
        return f'<Name Encoded="true">{quote(name)}</Name>'
    return f"<Name>{escape(name)}</Name>"


def xml_text(text: str, instead: str = "") -> str:
    """Text for an XML document, with `instead` for what such a document cannot carry."""
    return escape(_NOT_XML.sub(instead, text))

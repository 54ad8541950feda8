"""A blob: what is known of one, and what its client has said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class BlobProperties:
    """What a client says of a blob that it writes."""

    content_type: str | None = None
    content_md5: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What is known of a committed blob; `size` in bytes."""

    container: str
    name: str
    size: int
    modified: datetime
    etag: str
    properties: BlobProperties

    @property
    def content_type(self) -> str:
        """The media type, as Azure has it where the client said none."""
        return self.properties.content_type or "application/octet-stream"

    @property
    def content_md5(self) -> str | None:
        """The base64 MD5 that is known of the content."""
        return self.properties.content_md5

    @property
    def metadata(self) -> Mapping[str, str]:
        """The client's own properties."""
        return self.properties.metadata

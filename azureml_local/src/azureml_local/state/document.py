"""What all documents of the store have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Required, TypedDict, TypeVar

Json = dict[str, Any]
D = TypeVar("D", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Kind(Generic[D]):
    """A kind of documents under its name in the store.

    Resource Manager compares names without regard to case, blob storage does not.
    """

    name: str
    case_sensitive: bool = False


class SystemData(TypedDict, total=False):
    """Who made a resource and changed it last, and when (ISO 8601)."""

    createdAt: Required[str]
    createdBy: Required[str]
    createdByType: str
    lastModifiedAt: str
    lastModifiedBy: str
    lastModifiedByType: str

"""Artifacts of Prefect, redacted: the one door to a run's page. A rule of ruff keeps all others shut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect import artifacts  # noqa: TID251 - the door itself

from tasks.azure.redaction import redact, redacted


def create_table_artifact(rows: Sequence[Mapping[str, Any]], *, key: str, description: str) -> None:
    artifacts.create_table_artifact(redacted(list(rows)), key=key, description=redact(description))


def create_markdown_artifact(
    page: str, *, key: str, description: str, pictures: Mapping[str, str] | None = None
) -> None:
    """A page; a picture within it, `![what it shows](NAME)`, is a data URI that is taken as it is."""
    page = redact(page)
    for name, address in (pictures or {}).items():
        page = page.replace(f"]({name})", f"]({address})")
    artifacts.create_markdown_artifact(page, key=key, description=redact(description))


def create_link_artifact(link: str, *, link_text: str, key: str, description: str) -> None:
    artifacts.create_link_artifact(
        redact(link), link_text=redact(link_text), key=key, description=redact(description)
    )


def create_image_artifact(image_url: str, *, key: str, description: str) -> None:
    """A picture; one within its address (`data:`) is taken as it is."""
    address = image_url if image_url.startswith("data:") else redact(image_url)
    artifacts.create_image_artifact(address, key=key, description=redact(description))


def create_progress_artifact(percent: float, *, key: str, description: str) -> UUID | None:
    """The artifact's id, by which it is updated."""
    made = artifacts.create_progress_artifact(percent, key=key, description=redact(description))
    return made if isinstance(made, UUID) else None


def update_progress_artifact(artifact: UUID, percent: float, description: str) -> None:
    artifacts.update_progress_artifact(artifact, percent, redact(description))

"""What a run lets Prefect's event feed know beyond its states: automations notify people of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.events import emit_event

from tasks.azure.redaction import redact
from tasks.core.display import displaying

BUDGET_REACHED = "finetune.budget-reached"
LEASE_ENDED = "finetune.lease-ended"
# Prefect's own names (prefect.context.AssetContext).
ASSET_MADE = "prefect.asset.materialization.succeeded"
ASSET_FOUND = "prefect.asset.referenced"


def budget_reached(run: UUID | str, name: str, message: str) -> None:
    """Tell that a run has cancelled its job because of what it has cost."""
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.name": name}
    _emit(BUDGET_REACHED, resource, message)


def lease_ended(thing: str, name: str, message: str) -> None:
    """Tell that an endpoint, a deployment or a cluster was found that has outlived its lease."""
    _emit(LEASE_ENDED, {"prefect.resource.id": thing, "prefect.resource.name": name}, message)


def asset(event: str, key: str, name: str, made_of: Sequence[str]) -> None:
    """Tell that the run has made, or found, something by that address, of others by theirs."""
    related = [{"prefect.resource.id": each, "prefect.resource.role": "asset"} for each in made_of]
    resource = {"prefect.resource.id": key, "prefect.resource.name": redact(name)}
    with displaying():
        emit_event(event, resource=resource, related=related)


def _emit(event: str, resource: dict[str, str], message: str) -> None:
    payload: dict[str, Any] = {"message": redact(message)}
    with displaying():
        emit_event(event, resource=resource, payload=payload)

"""The automations that belong to the deployments: they notify people. What heals is the flow `watch`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events.actions import ActionTypes, CallWebhook
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.settings import get_current_settings
from prefect.types import SecretDict
from pydantic import BaseModel, ConfigDict, SecretStr

from flows.operations.healing import FLOWS
from flows.run.events import BUDGET_REACHED, LEASE_ENDED
from flows.run.outcome import BUDGET_BEGINS
from tasks.azure.failure import Cause, Failure

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

WEBHOOK = "finetune-notifications"
_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_ONCE = timedelta(hours=1)  # a run that crashes several times, or an event that comes twice, is one failure
# What earlier versions declared, and the flow `watch` does now: as automations they acted on lost events.
_FORMER = (
    "finetune: silent runs have crashed",
    "finetune: crashed runs go on",
    "finetune: mark runs without a heartbeat as crashed",
    "finetune: retry crashed runs",
)


class Declared(BaseModel):
    """What became of one automation."""

    model_config = ConfigDict(frozen=True)

    name: str
    change: Literal["created", "updated", "unchanged", "deleted"]
    enabled: bool


def declare(webhook: str | None = None) -> list[Declared]:
    """Create the automations in Prefect, or update those of the same name; those switched off stay off.

    Those of earlier versions that are no more are deleted. Without a `webhook` the last one saved is called;
    where none was saved, nobody is notified.
    """
    if get_current_settings().api.url is None:
        raise Failure(
            "No Prefect server is configured.",
            "Set PREFECT_API_URL, or start one: prefect server start.",
            cause=Cause.CONFIGURATION,
        )
    with get_client(sync_client=True) as client:
        block = _webhook(client, webhook)
        wanted = notifying(block) if block else ()
        return [*_without_former(client), *(_declare(client, automation) for automation in wanted)]


def notifying(block: UUID) -> Iterator[AutomationCore]:
    """Call the webhook with a JSON object whose `text` chat tools show."""
    run = "{{ event.resource.name }}"
    yield _notification(
        "finetune: a run has failed",
        EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match={**_RUNS, "prefect.state-message": f"!{BUDGET_BEGINS}*"},  # of which the next one tells
            match_related=[{"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}],
            for_each={"prefect.resource.id"},
            within=_ONCE,
        ),
        block,
        f"{run}: {{{{ event.resource['prefect.state-message'] }}}}",
    )
    yield _notification(
        "finetune: a budget is reached",
        EventTrigger(expect={BUDGET_REACHED}, for_each={"prefect.resource.id"}, within=_ONCE),
        block,
        f"{run}: {{{{ event.payload.message }}}}",
    )
    yield _notification(
        "finetune: something is past its lease",
        EventTrigger(expect={LEASE_ENDED}),
        block,
        f"{run}: {{{{ event.payload.message }}}}",
    )


def _notification(name: str, trigger: EventTrigger, block: UUID, text: str) -> AutomationCore:
    shown = (
        f'{{% set text %}}{text}{{% endset %}}{{"event": {{{{ event.event|tojson }}}}, '
        '"resource": {{ event.resource.id|tojson }}, "text": {{ text|tojson }}}'
    )
    actions: list[ActionTypes] = [CallWebhook(block_document_id=block, payload=shown)]
    return AutomationCore(name=name, description="Calls the webhook.", trigger=trigger, actions=actions)


def _webhook(client: SyncPrefectClient, url: str | None) -> UUID | None:
    """The id of the block that holds the webhook's address, which may be a secret."""
    if url is not None:
        headers = SecretDict({"Content-Type": "application/json"})
        block = Webhook(method="POST", url=SecretStr(url), headers=headers)
        return UUID(str(block.save(WEBHOOK, overwrite=True)))
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_block_document_by_name(WEBHOOK, "webhook").id
    except ObjectNotFound:
        return None


def _without_former(client: SyncPrefectClient) -> Iterator[Declared]:
    for name in _FORMER:
        for found in client.read_automations_by_name(name):
            client.delete_automation(found.id)
            yield Declared(name=name, change="deleted", enabled=False)


def _declare(client: SyncPrefectClient, wanted: AutomationCore) -> Declared:
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return Declared(name=wanted.name, change="created", enabled=True)
    first, *duplicates = found
    for duplicate in duplicates:
        client.delete_automation(duplicate.id)
    wanted = wanted.model_copy(update={"enabled": first.enabled})
    if not duplicates and _said(first) == _said(wanted):
        return Declared(name=wanted.name, change="unchanged", enabled=wanted.enabled)
    client.update_automation(first.id, wanted)
    return Declared(name=wanted.name, change="updated", enabled=wanted.enabled)


def _said(automation: Automation | AutomationCore) -> dict[str, Any]:
    """What an automation says, without what the server adds to it."""
    said = automation.model_dump(mode="json", include=set(AutomationCore.model_fields))
    return {
        **said,
        "trigger": {
            name: sorted(value) if name in ("after", "expect", "for_each") else value
            for name, value in said["trigger"].items()
            if name != "id"
        },
    }

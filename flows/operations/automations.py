"""The automations that belong to the deployments: two heal runs whose process is gone, the others notify."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.settings import get_current_settings
from prefect.types import SecretDict
from pydantic import BaseModel, ConfigDict, SecretStr

from flows.run.events import BUDGET_REACHED, LEASE_ENDED
from tasks.azure.failure import Cause, Failure

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

WEBHOOK = "finetune-notifications"
FLOWS = ["finetune", "watch", "reap", "history"]
ATTEMPTS = 3  # processes that one run may use up
SILENT_SECONDS = 300  # ten heartbeats, at the pace that prefect.yaml sets

_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_FLOW = {"prefect.resource.role": "flow", "prefect.resource.name": "finetune"}
_DEPLOYMENT = {"prefect.resource.role": "deployment"}
_TAG = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.finetune"}
_HEARTBEAT = "prefect.flow-run.heartbeat"
# What version 0.1 called them; those are renamed, not left to act a second time.
_FORMER = {
    "finetune: mark runs without a heartbeat as crashed": "finetune: silent runs have crashed",
    "finetune: retry crashed runs": "finetune: crashed runs go on",
}
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused", "AwaitingRetry")


class Declared(BaseModel):
    """What became of one automation."""

    model_config = ConfigDict(frozen=True)

    name: str
    change: Literal["created", "updated", "unchanged"]
    enabled: bool


def declare(webhook: str | None = None, silent_seconds: int = SILENT_SECONDS) -> list[Declared]:
    """Create the automations in Prefect, or update those of the same name; those switched off stay off.

    Without a `webhook` the last one saved is called; where none was saved, nobody is notified.
    """
    if get_current_settings().api.url is None:
        raise Failure(
            "No Prefect server is configured.",
            "Set PREFECT_API_URL, or start one: prefect server start.",
            cause=Cause.CONFIGURATION,
        )
    with get_client(sync_client=True) as client:
        block = _webhook(client, webhook)
        wanted = [*healing(silent_seconds), *(notifying(block) if block else ())]
        return [_declare(client, automation) for automation in wanted]


def healing(silent_seconds: int) -> Iterator[AutomationCore]:
    """Mark a silent run as crashed, and schedule a crashed run again, which resumes where it was."""
    yield AutomationCore(
        name="finetune: mark runs without a heartbeat as crashed",
        description="No heartbeat for a while, and no end: the process is gone, with its machine perhaps.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{name}" for name in _ENDS)},
            match=_RUNS,
            # Only runs of deployments have heartbeats often enough, and a worker that can take them up again.
            match_related=[_DEPLOYMENT, _TAG],
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=silent_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"Crashed: no heartbeat for {silent_seconds} s."
            )
        ],
    )
    yield AutomationCore(
        name="finetune: retry crashed runs",
        description=f"The same run is scheduled again, in at most {ATTEMPTS} processes; it reuses its job.",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Crashed"},
            match={**_RUNS, "prefect.run-count": [str(count) for count in range(1, ATTEMPTS)]},
            match_related=[_DEPLOYMENT, _FLOW],
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message="Its process was lost: scheduled again.",
                force=True,  # out of a state that is final otherwise
            )
        ],
    )


def notifying(block: UUID) -> Iterator[AutomationCore]:
    """Call the webhook with a JSON object whose `text` chat tools show."""
    run = "{{ event.resource.name }}"
    yield _notification(
        "finetune: a run has failed",
        EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match=_RUNS,
            match_related=[{"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}],
        ),
        block,
        f"{run}: {{{{ event.resource['prefect.state-message'] }}}}",
    )
    yield _notification(
        "finetune: a budget is reached",
        EventTrigger(expect={BUDGET_REACHED}),
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


def _declare(client: SyncPrefectClient, wanted: AutomationCore) -> Declared:
    former = _FORMER.get(wanted.name)
    found = client.read_automations_by_name(wanted.name)
    found += client.read_automations_by_name(former) if former else []
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

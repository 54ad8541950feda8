"""How often the watcher looks: every hour, and every two minutes while there is something to watch.

A run asks for the closer looks as soon as it begins. A look that finds nothing to watch ends them, and one
that finds something asks for them as well: a run that could not ask itself is found within the hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import DeploymentSchedule

from tasks.core.stage import logger

CLOSER = "while-something-lives"  # the schedule in prefect.yaml
WATCHER = "watch"


def ask_for_closer() -> None:
    """Have the watcher look every two minutes; a run does not fail for what it cannot ask for."""
    try:
        with get_client(sync_client=True) as client:
            _set(client, active=True)
    except Exception as error:  # noqa: BLE001 - the hourly look asks for it as well
        logger().warning("The watcher could not be asked to look more often: %s", error)


def arrange(client: SyncPrefectClient, is_needed: Callable[[], bool]) -> None:
    """Begin the closer looks, or end them.

    A run that begins while they are ended has asked for nothing new: so it is looked for once more.
    """
    if is_needed() or _set(client, active=False) and is_needed():
        _set(client, active=True)


def _set(client: SyncPrefectClient, *, active: bool) -> bool:
    """Turn the closer schedules on or off; whether one of them was otherwise."""
    others = [(owner, schedule) for owner, schedule in _closer(client) if schedule.active is not active]
    for owner, schedule in others:
        client.update_deployment_schedule(owner, schedule.id, active=active)
    return bool(others)


def _closer(client: SyncPrefectClient) -> Iterator[tuple[UUID, DeploymentSchedule]]:
    of_watcher = FlowFilter(name=FlowFilterName(any_=[WATCHER]))
    for deployment in client.read_deployments(flow_filter=of_watcher):
        for schedule in deployment.schedules:
            if schedule.slug == CLOSER:
                yield deployment.id, schedule

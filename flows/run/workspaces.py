"""The workspaces in Azure that may hold something of ours: those that recipes and past runs name."""

from __future__ import annotations

from collections.abc import Iterator

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from flows.run import outcome
from flows.run.config import load, names
from flows.run.flow_runs import flow_runs
from tasks.azure.failure import Failure
from tasks.core.stage import logger
from tasks.sign_in import Workspace, is_named


def known(asked: Workspace) -> list[Workspace]:
    """The workspace asked for and every other one that a recipe or a past run names, each once.

    What names none is the one that the environment names, or that is asked for. The one asked for is left out
    where nothing says which it is and no run has been there: people without an account have nothing in Azure.
    """
    with get_client(sync_client=True) as client:
        of_runs = [one for run in flow_runs(client) if (one := _workspace(run)) is not None]
    named = [one for one in (*_of_recipes(), *of_runs) if _names_itself(one)]
    is_used = is_named(asked) or any(not _names_itself(one) for one in of_runs)
    each = {one.model_dump_json(): one for one in ([asked] if is_used else []) + named}
    return list(each.values())


def _of_recipes() -> Iterator[Workspace]:
    for name in names():
        try:
            workspace = load(name).workspace
        except Failure as failure:
            logger().warning("The recipe %s cannot be read: %s", name, failure)
            continue
        if workspace.where == "azure":
            yield workspace


def _workspace(run: FlowRun) -> Workspace | None:
    """The workspace in Azure that the run has, or may have, made something in."""
    given = (run.parameters.get("config") or {}).get("workspace") or {}
    if given.get("where") != "azure":
        return None
    try:
        workspace = Workspace.model_validate(given)
    except Exception as error:  # noqa: BLE001 - a block that is no more, a field of another version
        logger().warning("The workspace of the run %s cannot be read: %s", run.name, error)
        return None
    # One that the environment named there may be named nowhere here: then it must have come far enough.
    return workspace if _names_itself(workspace) or outcome.is_planned(run) else None


def _names_itself(workspace: Workspace) -> bool:
    return bool(workspace.name or workspace.config or workspace.credentials)

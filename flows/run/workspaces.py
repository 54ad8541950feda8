"""The workspaces in Azure that may hold something of ours: those that recipes and past runs name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime
from prefect.client.schemas.objects import FlowRun
from prefect.variables import Variable
from pydantic import BaseModel, ValidationError

from flows.run import outcome, parameters
from flows.run.config import load, names
from flows.run.flow_runs import flow_runs
from tasks.azure.failure import Failure
from tasks.core.stage import logger
from tasks.sign_in import Workspace, is_named

_VARIABLE = "finetune_workspaces"
_OVERLAP = timedelta(days=7)  # a run counts once it has come far enough, which may be long after it began
_NAMES = ("name", "config", "credentials")


def known(asked: Workspace) -> list[Workspace]:
    """The workspace asked for and every other one that a recipe or a past run names, each once.

    What names none is the one that the environment names, or that is asked for. The one asked for is left out
    where nothing says which it is and no run has been there: people without an account have nothing in Azure.
    """
    of_runs = [one for given in _of_runs() if (one := _read(given)) is not None]
    named = [one for one in (*_of_recipes(), *of_runs) if _names_itself(one)]
    is_used = is_named(asked) or any(not _names_itself(one) for one in of_runs)
    each = {one.model_dump_json(): one for one in ([asked] if is_used else []) + named}
    return list(each.values())


class _Seen(BaseModel):
    """The sections `workspace` of all runs that began until then, each once, as a variable keeps them."""

    until: datetime | None = None
    sections: dict[str, dict[str, Any]] = {}


def _of_runs() -> list[dict[str, Any]]:
    """The sections of all runs in Azure; only those since the last look are read from Prefect."""
    try:
        seen = _Seen.model_validate(Variable.get(_VARIABLE, default={}))
    except ValidationError:  # somebody has edited it: everything is read once more
        seen = _Seen()
    begun = FlowRunFilterStartTime(after_=seen.until - _OVERLAP) if seen.until else None
    now, sections = datetime.now(UTC), dict(seen.sections)
    with get_client(sync_client=True) as client:
        for run in flow_runs(client, FlowRunFilter(start_time=begun) if begun else None):
            given = _section(run)
            if given is not None:
                sections[json.dumps(given, sort_keys=True)] = given
    value = _Seen(until=now, sections=sections).model_dump(mode="json")
    Variable.set(_VARIABLE, value, overwrite=True)
    return list(sections.values())


def _of_recipes() -> Iterator[Workspace]:
    for name in names():
        try:
            workspace = load(name).workspace
        except Failure as failure:
            logger().warning("The recipe %s cannot be read: %s", name, failure)
            continue
        if workspace.where == "azure":
            yield workspace


def _section(run: FlowRun) -> dict[str, Any] | None:
    """The section of a run that has, or may have, made something in Azure."""
    given = parameters.document(run.parameters).get("workspace") or {}
    if given.get("where") != "azure":
        return None
    # One that the environment named there may be named nowhere here: then it must have come far enough.
    names_itself = any(given.get(name) for name in _NAMES)
    return dict(given) if names_itself or outcome.is_planned(run) else None


def _read(given: dict[str, Any]) -> Workspace | None:
    try:
        return Workspace.model_validate(given)
    except Exception as error:  # noqa: BLE001 - a block that is no more, a field of another version
        logger().warning("The workspace %s of a past run cannot be read: %s", given.get("name"), error)
        return None


def _names_itself(workspace: Workspace) -> bool:
    return any(getattr(workspace, name) for name in _NAMES)

"""The smoke's end, however it ends: what costs is deleted and seen to be gone, the rest put out of sight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType

from azure.core.exceptions import HttpResponseError
from pydantic import BaseModel, ConfigDict

from tasks import compute, endpoint, leased
from tasks.azure import clients, job_states, listing
from tasks.azure.clients import Session
from tasks.azure.errors import explain, unless_missing
from tasks.core.lease import is_held_by
from tasks.job.wait import cancel
from tasks.smoke.plan import DELETION_LIMIT
from tasks.smoke.work import Work

_MODELS = "2024-04-01"
_DENIED = 403


class Gone(BaseModel):
    """What became of a thing that the smoke had made; `problem` is why it may still be there."""

    model_config = ConfigDict(frozen=True)

    thing: str
    proof: str = ""
    problem: str = ""


def clean(work: Work) -> list[Gone]:
    """Delete everything, each thing by itself, and look once more for whatever has our run in its tags."""
    name, session = work.plan.name, work.session
    ends: dict[str, Callable[[], str]] = {
        f"job {name}": lambda: _job(work),
        f"endpoint {name}": lambda: _deleted(work, endpoint),
        f"cluster {name}": lambda: _deleted(work, compute),
        f"model {name}": lambda: _model(session, name),
    }
    gone = [_ended(thing, end) for thing, end in ends.items()]
    return [
        *gone,
        _ended("the list of what `reap` would find", lambda: _nothing_left(session, work.plan.run)),
    ]


def _ended(thing: str, end: Callable[[], str]) -> Gone:
    try:
        return Gone(thing=thing, proof=end())
    except Exception as error:  # noqa: BLE001 - the others are deleted all the same, and this one reported
        return Gone(thing=thing, problem=str(explain(error)))


def _job(work: Work) -> str:
    session, name = work.session, work.plan.name
    found = listing.job(session, name)
    if found is None:
        return "never made"
    if not is_held_by(found.tags, work.plan.run):
        return "not ours"
    state = found.state
    if state not in job_states.FINAL:
        cancel(session, name)
        state = work.until(lambda: _end(session, name), "the end of the cancelled job", DELETION_LIMIT)
    if not found.properties.get("isArchived"):
        clients.workspace(session).jobs.archive(name)
    return f"{state}, archived"


def _end(session: Session, name: str) -> str | None:
    """The state that the job has ended in, once it has."""
    found = listing.job(session, name)
    return found.state if found is not None and found.state in job_states.FINAL else None


def _deleted(work: Work, kind: ModuleType) -> str:
    """An endpoint or a cluster: both are found and removed by name, each by the module of its stage."""
    name, run = work.plan.name, work.plan.run
    found = kind.find(work.session, name)
    if found is not None and is_held_by(found.tags, run):
        work.insist(lambda: kind.remove(work.session, name, run), DELETION_LIMIT)
        found = kind.find(work.session, name)
    return f"404 at {_now()}" if found is None else "not ours"


def _model(session: Session, name: str) -> str:
    """A version of a model costs nothing but its few bytes; the SDK cannot delete one, the service can."""
    path = f"{session.workspace_id}/models/{name}/versions/1"
    found = unless_missing(lambda: clients.read(session, path, _MODELS))
    if found is None:
        return "never made"
    try:
        clients.remove(session, path, _MODELS)
    except HttpResponseError as error:
        if error.status_code != _DENIED:
            raise
        clients.workspace(session).models.archive(name, version="1")  # which takes no more than making one
        return "archived, as deleting it is not allowed"
    gone = unless_missing(lambda: clients.read(session, path, _MODELS)) is None
    return f"404 at {_now()}" if gone else "deletion asked for"


def _nothing_left(session: Session, run: str) -> str:
    found = leased.find_leased.fn(session)
    left = [item.label for item in found.leased if item.run == run]
    if left or found.unseen:
        raise RuntimeError(f"left: {', '.join([*left, *found.unseen])}")
    return f"empty at {_now()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

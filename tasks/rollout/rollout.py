"""The roll-out: a new deployment beside the old, asked before it has traffic and at every step of it.

By learn.microsoft.com/azure/machine-learning/how-to-safely-rollout-online-endpoints: a named deployment is
asked by a header at any share of the traffic, and one with traffic cannot be deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import deploy as deployments
from tasks import endpoint as endpoints
from tasks.azure import clients, operation
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import Lease
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.deploy import Deploy, Wanted
from tasks.endpoint import Endpoint
from tasks.invoke import Invoke, request, sample
from tasks.job.wait import TrainedJob
from tasks.rollout import turn as turns
from tasks.rollout.probe import Probed, Target, lines, probe
from tasks.rollout.turn import Phase, Turn
from tasks.sections.deploy import LONGEST_START, Rollout

_SLACK = 60.0  # minutes that a turn is held beyond what the next step takes
_LONGEST_NAME = 32
_DAY = 24 * 60 * 60.0
_PURPOSE = "Serves a fine-tuned chat model; each further one is rolled out beside it."


class Rolling(BaseModel):
    """A roll-out that has the turn: what to deploy, or `done` where the endpoint serves just that already."""

    model_config = ConfigDict(frozen=True)

    endpoint: Endpoint
    turn: Turn
    done: bool


class RolledOut(BaseModel):
    """A roll-out that has come to its end: the probes of each step, and what was replaced."""

    model_config = ConfigDict(frozen=True)

    deployment: str
    replaced: str | None
    probes: tuple[Probed, ...]


# It waits for the roll-out of another run as long as that may take.
@stage(Stage.ENDPOINT, limit=LONGEST_START * 60 + _DAY)
def begin(session: Session, deploy: Deploy, job: TrainedJob, wanted: Wanted, lease: Lease) -> Rolling:
    """Open the lasting endpoint, creating it where it is not there, and take the turn at it.

    `wanted` is the model, under the name that its deployment has by default. Raises Failure where the name
    belongs to something else.
    """
    name = deploy.endpoint or ""

    def turn_at(found: Any) -> Turn:
        old = _most(found)
        made = deployments.find(session, name, old) if old is not None else None
        return Turn(
            run=lease.run,
            until=lease.expires,
            new=old if old and _is(made, deploy, wanted) else _free_name(wanted.name, old),
            old=old,
        ).renewed(deploy.timeout_minutes + _SLACK)

    while True:
        _open(session, name, lease)
        turn = turns.take(session, name, lease.run, turn_at)
        if turn is not None:
            break  # else another run has deleted the endpoint meanwhile
    done = turn.new == turn.old
    if done:
        logger().info("Endpoint %s serves this model already, by %s", name, turn.new)
    return Rolling(endpoint=Endpoint(name=name, job=job.name), turn=turn, done=done)


@stage(Stage.ROLL_OUT, retries=0, limit=7 * _DAY)
def roll_out(
    session: Session, rollout: Rollout, rolling: Rolling, questions: tuple[dict[str, Any], ...]
) -> RolledOut:
    """Give the new deployment its traffic step by step, and delete the old one after its grace.

    Raises Failure at the first step whose probes fail; the traffic is then the caller's to take back, by
    `turns.settle`.
    """
    name, turn = rolling.endpoint.name, rolling.turn
    target, probed = _target(session, name, turn.new), list[Probed]()

    def check(share: int) -> None:
        found = probe(target, share, questions)
        probed.append(found)
        report(f"{turn.new} at {found}")
        logger().info("%s of %s at %s", turn.new, name, found)
        if fault := found.fault(rollout.max_error_rate, rollout.max_p95_seconds):
            raise Failure(
                f"The deployment {turn.new} of {name} is taken back at {share} %: {fault}.",
                f"{turn.old or 'Nothing'} serves as before. See the log of {turn.new} in this run's log.",
                lines(probed),
                cause=Cause.ANSWER,
            )

    check(0)
    for share in rollout.steps if turn.old is not None else (100,):
        minutes = rollout.step_minutes if share < 100 else rollout.grace_minutes if turn.old else 0.0
        turns.hold(session, name, turn.renewed(minutes + _SLACK), _split(turn, share))
        check(share)
        if minutes:
            operation.wait(minutes * 60)
            check(share)
    turns.hold(session, name, turn.renewed(_SLACK, Phase.PROMOTED))
    turns.settle(session, name, turn)
    return RolledOut(deployment=turn.new, replaced=turn.old, probes=tuple(probed))


def questions(path: Path, invoke: Invoke, count: int) -> tuple[dict[str, Any], ...]:
    """Requests for so many probes: conversations of the test split, of which one may come again."""
    return tuple(request(sample(path, invoke.seed + at)[0], invoke) for at in range(count))


def _open(session: Session, name: str, lease: Lease) -> None:
    while True:
        found = endpoints.find(session, name)
        if found is None:
            if endpoints.create(session, name, _PURPOSE, lease.tags()):
                return
            continue
        holder, state = Lease.read(found.tags), operation.state(found)
        if holder is None:
            raise endpoints.not_ours(name)
        if endpoints.JOB in found.tags:
            raise Failure(
                f"The endpoint {name!r} was made to prove the model of the job {found.tags[endpoints.JOB]}.",
                "Set deploy.endpoint to another name, or delete it.",
                cause=Cause.IN_USE,
            )
        if state == "Deleting":
            endpoints.until_gone(session, name, holder.run)
        elif not operation.is_settled(found):
            operation.settled(lambda: endpoints.find(session, name))
        elif state != "Succeeded":
            raise Failure(
                f"The endpoint {name!r} is {state}.", "See its page in the studio.", cause=Cause.DEPLOYMENT
            )
        else:
            return


def _most(found: Any) -> str | None:
    """The deployment with most of the endpoint's traffic."""
    traffic = {name: share for name, share in (found.traffic or {}).items() if share}
    return max(traffic, key=lambda name: traffic[name], default=None)


def _is(made: Any, deploy: Deploy, wanted: Wanted) -> bool:
    """Whether the deployment is what is wanted: this model on such machines, and ready."""
    return made is not None and (
        operation.state(made) == "Succeeded"
        and str(made.model).casefold().endswith(wanted.model.casefold().removeprefix("azureml:"))
        and str(made.instance_type).casefold() == wanted.size.name.casefold()
        and int(made.instance_count) == deploy.instance_count
    )


def _free_name(name: str, taken: str | None) -> str:
    """The name, or one beside it where the old deployment has it: the same model on other machines."""
    name = name[:_LONGEST_NAME]
    return name if name != taken else f"{name[: _LONGEST_NAME - 2]}-b"


def _split(turn: Turn, share: int) -> dict[str, int]:
    return {turn.new: share} if turn.old is None else {turn.old: 100 - share, turn.new: share}


def _target(session: Session, name: str, deployment: str) -> Target:
    endpoint = clients.workspace(session).online_endpoints
    return Target(
        address=endpoint.get(name).scoring_uri,
        key=endpoint.get_keys(name).primary_key,
        deployment=deployment,
    )

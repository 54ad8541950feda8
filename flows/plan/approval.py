"""Approval: a deployment's run that is suspended with its plan until a person has said yes or no to it."""

from __future__ import annotations

from collections.abc import Callable

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from pydantic import Field

from flows.plan import history, page, sections, workspace
from flows.plan.making import plan_of
from flows.run.config import Finetune
from flows.run.context import Run
from tasks.azure.failure import Cause, Failure
from tasks.core.log import logger

KEY = "approval"
APPROVED = "approved"  # a tag of the run


class Answer(RunInput):
    """What a person answers in Prefect's form."""

    approve: bool = Field(False, title="Approve", description="Off ends the run; nothing was paid for.")
    note: str = Field("", title="Note", description="For the run's log.")


def check(config: Finetune) -> None:
    """Refuse at once a run that nobody could resume: that of somebody's own process."""
    if config.approval.required and deployment.id is None:
        raise Failure(
            "Only the run of a deployment can wait for an approval.",
            "Leave approval out, as a terminal is asked anyway, or start a deployment's run: "
            "prefect deployment run finetune/ad-hoc --param 'approval={\"required\": true}'.",
            cause=Cause.CONFIGURATION,
        )


def wait(run: Run) -> None:
    """Have the run's plan approved, where its recipe asks for that."""
    config = run.config

    def publish() -> str:
        plan = plan_of(config, workspace.facts(config, run.id, history.like(config)))
        page.publish(plan)
        return sections.title(plan)

    wait_for(config, page.KEY, publish)


def wait_for(config: Finetune, artifact: str, publish: Callable[[], str]) -> None:
    """Go on once the plan is approved; until then the run has no process and no slot of its deployment.

    `publish` makes the plan the run's artifact of that key, and returns its title. Raises Failure when the
    answer is no. After the deadline, Prefect's server fails the run by itself.
    """
    # A run that is scheduled again after a crash has been forgotten to have asked: its tag has not.
    if not config.approval.required or APPROVED in (this_run.tags or ()):
        return
    if not _has_asked():
        logger().info("Waiting for an approval: %s", publish())
    answer = suspend_flow_run(
        wait_for_input=Answer.with_initial_data(
            description=f"The plan is the artifact {artifact} of this run. Does it go on?", approve=False
        ),
        timeout=round(config.approval.hours * 3600),
        key=KEY,
    )
    note = f": {answer.note}" if answer.note else "."
    if not answer.approve:
        raise Failure(
            f"The plan was not approved{note}", "Change the recipe, and run again.", cause=Cause.CANCELLED
        )
    logger().info("The plan is approved%s", note)
    with get_client(sync_client=True) as client:
        client.update_flow_run(this_run.id, tags=sorted({*this_run.tags, APPROVED}))


def _has_asked() -> bool:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and KEY in (run.empirical_policy.pause_keys or ())

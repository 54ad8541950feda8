"""The plan of a run that goes: with what its stages have found by now, and no second look."""

from __future__ import annotations

from flows.plan.facts import ComponentVersion, Facts
from flows.plan.making import plan_of
from flows.plan.plan import Plan
from flows.run.context import Run
from tasks.azure import sizes
from tasks.core.stages import Stage
from tasks.data.expected import of_prepared

# What a run of a group goes through: only the group's winner is registered and served.
_OF_A_GROUP = frozenset(
    (
        *(Stage.SIGN_IN, Stage.BASE_MODEL, Stage.COMPUTE, Stage.DATA),
        *(Stage.SUBMIT, Stage.TRAIN, Stage.METRICS),
    )
)


def plan_of_run(run: Run) -> Plan:
    """The plan of a run whose job is planned, and not submitted yet; of one of a group up to its losses."""
    component = run.plan.component
    facts = Facts(
        base=run.base,
        component=ComponentVersion(
            id=component.id, name=component.name, version=component.version, inputs=component.inputs
        ),
        training=sizes.find(run.session, run.cluster.size),
        serving=run.serving,
        tier=run.config.compute.tier,
        data=of_prepared(run.data, run.config.data),
        offline=False,
        workspace=run.session.workspace,
        workspace_id=run.session.workspace_id,
        cluster_exists=None if run.config.compute.is_serverless else not run.cluster.created,
        fingerprint=run.plan.fingerprint,
    )
    plan = plan_of(run.config, facts)
    if run.sweep is None:
        return plan
    return plan.model_copy(update={"steps": tuple(step for step in plan.steps if step.stage in _OF_A_GROUP)})

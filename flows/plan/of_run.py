"""The plan of a run that goes: with what its stages have found by now, and no second look."""

from __future__ import annotations

from flows.plan.facts import ComponentVersion, Facts
from flows.plan.making import plan_of
from flows.plan.plan import Plan
from flows.run.context import Run
from tasks.azure import sizes
from tasks.data.expected import of_prepared


def plan_of_run(run: Run) -> Plan:
    """The plan of a run whose job is planned, and not submitted yet."""
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
    return plan_of(run.config, facts)

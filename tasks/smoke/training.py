"""The first half of the smoke: a cluster, a pipeline component of two steps, and what they leave behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tasks import compute, metrics
from tasks.azure import clients, job_states, listing, operation, private, run_history
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.azure.run_history import Step
from tasks.base_model import BaseModelVersion
from tasks.job.pipeline import OUTPUT
from tasks.sections.compute import Compute
from tasks.smoke.plan import IDLE, JOB_LIMIT
from tasks.smoke.work import Facts, Work, expect

EXPERIMENT = "finetune_smoke"
STEPS = ("first", "second")
_LOSS = 0.25
_DEPTH = 8


def cluster(work: Work) -> Facts:
    """A cluster of one node at most, under a lease, as a run creates it."""
    plan = work.plan
    wanted = Compute(name=plan.name, size=plan.size.name, idle_seconds=IDLE, identity=plan.identity)
    found, _ = compute.ensure(work.session, wanted, _anything(plan.size.name), work.lease)
    if operation.state(found) != "Succeeded":
        raise Failure(
            f"The cluster is {operation.state(found)}.",
            "See its page in the studio.",
            str(getattr(found, "provisioning_errors", "") or ""),
            cause=Cause.COMPUTE,
        )
    lost = {name for name, value in work.lease.tags().items() if (found.tags or {}).get(name) != value}
    expect(not lost - {"finetune.hourly-usd"}, f"the cluster has lost its tags {', '.join(sorted(lost))}")
    return {}


def job(work: Work) -> Facts:
    """A pipeline whose one node is a pipeline component of two steps, until it has completed."""
    made = clients.workspace(work.session).jobs.create_or_update(_pipeline(work), experiment_name=EXPERIMENT)
    work.job = made.name
    begun = datetime.now(UTC)

    def ended() -> listing.Listed | None:
        found = listing.submitted(work.session, work.job)
        work.say(f"{found.state}; {_states(_steps(work)) or 'no step yet'}")
        return found if found.state in job_states.FINAL else None

    end = work.until(ended, "the job", JOB_LIMIT)
    if end.state != job_states.COMPLETED:
        raise Failure(
            f"The job is {end.state}.", "See its page in the studio.", _errors(work), cause=Cause.JOB
        )
    return {"minutes": round((datetime.now(UTC) - begun).total_seconds() / 60, 1)}


def run_tree(work: Work) -> Facts:
    """The runs below the job, layer by layer: our reading of them ends at the two steps and nowhere else."""
    work.need("job", work.job)
    steps = _steps(work)
    names = sorted(step.name for step in steps)
    expect(names == sorted(STEPS), f"the steps found are {', '.join(names) or 'none'}")
    expect(all(step.status == job_states.COMPLETED for step in steps), f"the steps are {_states(steps)}")
    first, second = sorted(steps, key=lambda step: STEPS.index(step.name))
    facts = {"layers": float(_layers(work, work.job)), "steps": float(len(steps))}
    if first.ended and second.started:  # whether the node was kept from one to the other
        facts["seconds between the steps"] = round((second.started - first.ended).total_seconds(), 1)
    return facts


def logs(work: Work) -> Facts:
    """Each step's own log, by the addresses that its run gives."""
    work.need("job", work.job)
    lines = 0
    for step in _steps(work):
        said = run_history.Log(work.session, step.id).rest()
        expect(
            any(f"smoke: the {step.name} step speaks" in line for line in said),
            f"the log of {step.name} has {len(said)} lines, and not what it printed",
        )
        lines += len(said)
    return {"lines": float(lines)}


def logged_metrics(work: Work) -> Facts:
    """The metric that the second step logged, found from the job."""
    work.need("job", work.job)
    found = metrics.of_job(work.session, EXPERIMENT, work.job).final
    expect(found.get("smoke_loss") == _LOSS, f"the metrics found are {', '.join(sorted(found)) or 'none'}")
    return {"metrics": float(len(found))}


def registration(work: Work) -> Facts:
    """The job's output as a model's version."""
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Model

    name = work.need("job", work.job)
    model = Model(
        name=work.plan.name,
        path=f"azureml://jobs/{name}/outputs/{OUTPUT}",
        type=AssetTypes.CUSTOM_MODEL,
        tags=work.lease.tags(),
    )
    made = clients.workspace(work.session).models.create_or_update(model)
    expect(str(made.version) == "1", f"the first version of a new model is {made.version}")
    work.model = made.id
    return {}


def archived_job(work: Work) -> Facts:
    """The job archived: it is out of the lists, and still there for who knows its name."""
    name = work.need("job", work.job)
    clients.workspace(work.session).jobs.archive(name)
    found = listing.job(work.session, name)
    expect(found is not None, "an archived job is not found by its name")
    expect(bool(found and found.properties.get("isArchived")), "the job does not say that it is archived")
    return {}


def _pipeline(work: Work) -> Any:
    from azure.ai.ml import Input, Output, command
    from azure.ai.ml.dsl import pipeline as define

    common = {"code": str(work.code), "environment": work.plan.environment}
    say = command(
        name=STEPS[0],
        command="python first.py ${{outputs.said}}",
        outputs={"said": Output(type="uri_folder")},
        **common,
    )
    make = command(
        name=STEPS[1],
        command="python second.py ${{inputs.said}} ${{outputs.model}}",
        inputs={"said": Input(type="uri_folder")},
        outputs={"model": Output(type="uri_folder")},
        **common,
    )

    @define(name="smoke_steps")  # type: ignore[untyped-decorator]
    def steps() -> dict[str, Any]:
        first = say()
        second = make(said=first.outputs.said)
        first.compute = second.compute = work.plan.name
        return {"model": second.outputs.model}

    @define(name="smoke")  # type: ignore[untyped-decorator]
    def whole() -> dict[str, Any]:
        both = steps()
        return {OUTPUT: both.outputs.model}

    job = whole()
    job.name = job.display_name = work.plan.name
    job.settings.default_compute = work.plan.name
    job.settings.force_rerun = True
    job.tags = work.lease.priced(work.plan.price).tags()
    return job


def _steps(work: Work) -> list[Step]:
    return run_history.steps(work.session, work.job)


def _layers(work: Work, run: str, depth: int = _DEPTH) -> int:
    """How many layers of runs there are below one."""
    session = work.session
    where = (session.subscription_id, session.resource_group, session.workspace)
    below = private.child_runs(clients.workspace(session).jobs, where, run) if depth else []
    return 1 + max(_layers(work, child.run_id, depth - 1) for child in below) if below else 0


def _errors(work: Work) -> str:
    """What the failed steps say."""
    failed = [step for step in _steps(work) if step.status == "Failed"]
    said = []
    for step in failed:
        try:
            said.append(f"{step.name}: {run_history.error(work.session, step.id)}")
            said += run_history.Log(work.session, step.id).rest()[-20:]
        except Exception as error:  # noqa: BLE001 - the job's failure is what is reported
            said.append(f"(its log cannot be read: {explain(error).what})")
    return "\n".join(said)


def _states(steps: list[Step]) -> str:
    return ", ".join(f"{step.name} {step.status}" for step in steps)


def _anything(size: str) -> BaseModelVersion:
    """What stands for a model that may be trained on this size."""
    return BaseModelVersion(
        id="",
        name="smoke",
        version="1",
        description="",
        finetune_sizes=(size,),
        inference_sizes=None,
        defaults={},
        warnings=(),
    )

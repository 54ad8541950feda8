"""From a configuration and facts to a plan; what decides is what decides in a run: the same functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from flows.plan import estimate, steps
from flows.plan.facts import Facts
from flows.plan.plan import (
    Held,
    Judging,
    Machines,
    Names,
    Origin,
    Plan,
    Problem,
    Serving,
    Setting,
    Training,
)
from flows.run import cores
from flows.run.config import Finetune
from flows.run.most import most
from tasks.azure.failure import Failure
from tasks.azure.sizes import Size
from tasks.core.names import (
    dataset_name,
    display_name,
    effective_batch,
    endpoint_name,
    experiment_name,
    model_name,
)
from tasks.job.parameters import Effective, merge
from tasks.model_version import check_offered, check_serving_size, check_training_size
from tasks.quota import Verdict
from tasks.sections.deploy import BASE


def plan_of(config: Finetune, facts: Facts) -> Plan:
    """The plan; raises Failure for parameters that the component cannot take."""
    effective = merge(config.parameters, facts.base.defaults, facts.component.inputs)
    training, serving = _training(config, facts, effective), _serving(config, facts)
    names = _names(config, facts, effective)
    return Plan(
        recipe=config.recipe,
        made=datetime.now(UTC).replace(microsecond=0),
        offline=facts.offline,
        bills=config.workspace.bills,
        workspace=facts.workspace,
        base_model=f"{facts.base.name}:{facts.base.version}",
        component=f"{facts.component.name}:{facts.component.version}",
        fingerprint=facts.fingerprint,
        steps=tuple(steps.of(config, facts, names)),
        settings=tuple(_settings(effective, training)),
        dropped=effective.dropped,
        data=facts.data,
        training=training,
        serving=serving.model_copy(update={"endpoint": names.endpoint}),
        needs=cores.needs(config, facts.training, facts.serving, exists=bool(facts.cluster_exists)),
        quota=facts.rooms,
        estimate=estimate.of(config, facts, effective, training.machines),
        most=most(config, training.machines.hourly, serving.machines.hourly),
        judge=_judging(config),
        names=names,
        leases=tuple(_leases(config)),
        warnings=(*facts.base.warnings, *_warnings(facts)),
        problems=tuple(_problems(config, facts)),
    )


def _training(config: Finetune, facts: Facts, effective: Effective) -> Training:
    compute, size = config.compute, facts.training
    return Training(
        cluster=compute.training,
        exists=facts.cluster_exists,
        machines=_machines(size, compute.nodes, size.hourly(facts.tier)),
        batch=effective_batch(effective.values, size.gpus, compute.nodes),
    )


def _serving(config: Finetune, facts: Facts) -> Serving:
    deploy, size = config.deploy, facts.serving
    names = (deploy.deployment, BASE)[: deploy.deployments]
    return Serving(
        endpoint=None,
        deployments=names,
        machines=_machines(size, deploy.instance_count * len(names), size.hourly()),
        image=facts.image.name if facts.image else None,
        doubt=facts.image.doubt if facts.image else "",
    )


def _machines(size: Size, count: int, price: float) -> Machines:
    return Machines(size=size.name, count=count, gpus=size.gpus, hourly=price * count or None)


def _names(config: Finetune, facts: Facts, effective: Effective) -> Names:
    base, dataset = facts.base.name, dataset_name(facts.data.source)
    endpoint = config.deploy.endpoint
    if endpoint is None and facts.job_name and facts.workspace_id:
        endpoint = endpoint_name(dataset, facts.job_name, facts.workspace_id)
    gpus, nodes = facts.training.gpus, config.compute.nodes
    return Names(
        experiment=config.pipeline.experiment or experiment_name(base),
        display_name=display_name(base, dataset, effective.values, gpus, nodes),
        job=facts.job_name,
        model=config.registration.name or model_name(base, dataset),
        endpoint=endpoint,
    )


def _settings(effective: Effective, training: Training) -> Iterator[Setting]:
    for name, value in sorted(effective.values.items()):
        yield Setting(
            name=name,
            value=value,
            origin=Origin(effective.origin[name]),
            instead_of=effective.overridden.get(name, ""),
        )
    machines = training.machines
    yield Setting(name="num_nodes_finetune", value=machines.count, origin=Origin.COMPUTE)
    gpus = max(machines.gpus, 1)  # the component's minimum
    yield Setting(name="number_of_gpu_to_use_finetuning", value=gpus, origin=Origin.COMPUTE)


def _judging(config: Finetune) -> Judging | None:
    """Each answer beside the base model's and the incumbent's, in both orders, as far as its budget goes."""
    judge, section = config.evaluation.judge, config.evaluation
    if not judge.url or not section.prompts:
        return None
    others = 2 if config.deploy.compare_with_base else 1  # whether there is an incumbent is seen in the run
    wanted = 2 * section.prompts * others
    return Judging(
        model=judge.model,
        requests=wanted if judge.budget_requests is None else min(wanted, judge.budget_requests),
        tokens=judge.budget_tokens,
        dollars=judge.budget_usd,
    )


def _leases(config: Finetune) -> Iterator[Held]:
    """As `Run.lease` and `Run.serving_lease` have them."""
    deploy, compute = config.deploy, config.compute
    hours = deploy.lease_hours + config.wait.timeout_hours
    yield Held(what="job", hours=hours)
    if compute.is_created:
        yield Held(what=f"cluster {compute.training}", hours=None if compute.keep else hours)
    yield Held(what="endpoint and deployments", hours=deploy.lease_hours)
    if deploy.is_kept:
        yield Held(what="endpoint, once it is kept", hours=deploy.kept_hours())


def _warnings(facts: Facts) -> Iterator[str]:
    if facts.image is not None and facts.image.doubt:
        yield f"A deployment of the tuned model may not start: {facts.image.doubt}."
    for room in facts.rooms or ():
        if room.verdict in (Verdict.BUSY, Verdict.UNKNOWN):
            yield f"Quota: {room}."


def _problems(config: Finetune, facts: Facts) -> Iterator[Problem]:
    """What a run would refuse, by the functions that refuse it."""
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_offered(config.base, facts.base),
        lambda: check_training_size(facts.training, facts.base),
        lambda: check_serving_size(facts.serving, facts.base),
    )
    for check in checks:
        try:
            check()
        except Failure as failure:
            yield Problem(what=failure.what, do=failure.do)
    if config.wait.budget_usd is not None and not facts.training.hourly(facts.tier):
        yield Problem(
            what=f"wait.budget_usd cannot be kept: no price of {facts.training.name} is known.",
            do="Leave it out and set wait.timeout_hours.",
        )
    if facts.cluster_exists is False and not config.compute.create:
        yield Problem(
            what=f"The cluster {config.compute.training!r} does not exist.",
            do="Create it, set compute.create, or name another one in compute.name.",
        )
    for room in facts.rooms or ():
        if room.verdict is Verdict.TOO_SMALL:
            yield Problem(
                what=f"The quota is too small: {room}.",
                do="Ask for more of it in the studio (Quota), or choose another family or fewer nodes.",
            )
    yield from (Problem(what=each.what, do=each.do) for each in facts.problems)

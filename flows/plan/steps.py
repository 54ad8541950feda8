"""The stages of a run as a plan lists them: what each would read, use again, make or delete."""

from __future__ import annotations

from collections.abc import Iterator

from flows.plan.facts import Facts
from flows.plan.plan import Act, Names, Step
from flows.run.config import Finetune
from tasks.core.stages import Stage
from tasks.data.expected import Expected


def of(config: Finetune, facts: Facts, names: Names) -> Iterator[Step]:
    """A step for each stage that the run would go through, in its order."""
    yield Step(stage=Stage.SIGN_IN, act=Act.READ, says=f"workspace {facts.workspace or 'not asked'}")
    yield Step(stage=Stage.BASE_MODEL, act=Act.READ, says=f"{facts.base.name} version {facts.base.version}")
    yield _compute(config, facts)
    yield Step(
        stage=Stage.DATA,
        act=Act.REUSE if facts.data.prepared else Act.NEW,
        says=_data(facts.data),
    )
    yield from _job(config, facts, names)
    yield from _model(facts, names)
    yield from _serving(config, facts, names)
    yield from _end(config, facts, names)


def _compute(config: Finetune, facts: Facts) -> Step:
    compute, size = config.compute, facts.training.name
    if compute.is_serverless:
        return Step(stage=Stage.COMPUTE, act=Act.READ, says=f"none: serverless machines of {size}")
    if facts.cluster_exists:
        return Step(stage=Stage.COMPUTE, act=Act.REUSE, says=f"cluster {compute.training} of {size}")
    if facts.cluster_exists is None:
        return Step(
            stage=Stage.COMPUTE,
            act=Act.DEPENDS,
            says=f"cluster {compute.training}: used if it is there, else created of {size}",
        )
    nodes = f"{compute.min_nodes} to {compute.max_nodes} nodes"
    return Step(stage=Stage.COMPUTE, act=Act.NEW, says=f"cluster {compute.training} of {size}, {nodes}")


def _data(data: Expected) -> str:
    if data.prepared is not None:
        rows = ", ".join(f"{split.name} {split.rows:,} rows" for split in data.splits)
        return f"{data.source}: {rows}, prepared before"
    splits = ", ".join(
        f"{split.name or split.role} {f'{split.rows:,} rows' if split.rows is not None else split.take}"
        for split in data.splits
    )
    fetched = f", {data.fetched / 1e6:,.1f} MB to fetch" if data.fetched is not None else ""
    return f"{data.source}: {splits}{fetched}"


def _job(config: Finetune, facts: Facts, names: Names) -> Iterator[Step]:
    limit = f"for {config.wait.timeout_hours:g} h at most"
    if facts.job is not None:
        whose = f" of run {facts.job.run}" if facts.job.run else ""
        yield Step(stage=Stage.SUBMIT, act=Act.REUSE, says=f"job {facts.job.name}{whose}, {facts.job.state}")
        yield Step(stage=Stage.TRAIN, act=Act.REUSE, says=f"waits for that job, {limit}")
        return
    if names.job is not None:
        yield Step(stage=Stage.SUBMIT, act=Act.NEW, says=f"job {names.job}")
    else:
        yield Step(
            stage=Stage.SUBMIT,
            act=Act.DEPENDS,
            says="a job, unless there is one of the same inputs: the data decides, once it is prepared",
        )
    where = config.compute.training
    yield Step(
        stage=Stage.TRAIN,
        act=Act.NEW,
        says=f"{config.compute.nodes} × {facts.training.name} in {where}, {limit}",
    )


def _model(facts: Facts, names: Names) -> Iterator[Step]:
    yield Step(stage=Stage.METRICS, act=Act.READ, says="the losses, before and after")
    if facts.model is not None:
        yield Step(stage=Stage.REGISTER, act=Act.REUSE, says=f"model {facts.model.name}")
    else:
        yield Step(stage=Stage.REGISTER, act=Act.NEW, says=f"a version of model {names.model}")


def _serving(config: Finetune, facts: Facts, names: Names) -> Iterator[Step]:
    deploy = config.deploy
    name = names.endpoint or "named after the job"
    if facts.endpoint is not None:
        whose = f" of run {facts.endpoint.run}" if facts.endpoint.run else ""
        yield Step(stage=Stage.ENDPOINT, act=Act.REUSE, says=f"endpoint {facts.endpoint.name}{whose}")
    else:
        yield Step(stage=Stage.ENDPOINT, act=Act.NEW, says=f"endpoint {name}")
    beside = ", the base model beside it unless its answers are known" if deploy.deployments > 1 else ""
    if deploy.mode == "serve":
        beside = ", beside what serves there"
    yield Step(
        stage=Stage.DEPLOY,
        act=Act.NEW,
        says=f"{deploy.deployment} on {deploy.instance_count} × {deploy.instance_type}{beside}",
    )
    if deploy.mode == "serve":
        steps = ", ".join(map(str, deploy.rollout.steps))
        says = f"{steps} % of the traffic, the old one deleted after {deploy.rollout.grace_minutes:g} minutes"
        yield Step(stage=Stage.ROLL_OUT, act=Act.NEW, says=says)
    yield Step(stage=Stage.INVOKE, act=Act.READ, says="a question of the test split")
    yield from _judged(config)


def _judged(config: Finetune) -> Iterator[Step]:
    section, rules = config.evaluation, config.gate.rules
    if section.prompts:
        beside = " and the base model" if config.deploy.compare_with_base else ""
        judge = ", judged by a model that is billed apart" if section.judge.url else ""
        says = f"{section.prompts} held-out questions to the tuned model{beside}, while it serves{judge}"
        yield Step(stage=Stage.EVALUATE, act=Act.READ, says=says)
    says = "; ".join(rules) if rules else "no rules: what answers is promoted"
    yield Step(stage=Stage.GATE, act=Act.NEW, says=says)


def _end(config: Finetune, facts: Facts, names: Names) -> Iterator[Step]:
    name = names.endpoint or "the endpoint"
    if config.deploy.is_kept:
        yield Step(stage=Stage.KEEP, act=Act.NEW, says=f"{name} stays up for {config.deploy.kept_for}")
    else:
        yield Step(stage=Stage.DELETE, act=Act.DELETE, says=name)
    if config.compute.is_created and not config.compute.keep and facts.cluster_exists is not True:
        yield Step(
            stage=Stage.DELETE_COMPUTE,
            act=Act.DELETE,
            says=f"cluster {config.compute.training}"
            + ("" if facts.cluster_exists is False else ", if this run has made it"),
        )

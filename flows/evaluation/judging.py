"""What a run measures of its model, and whether that passes the gate: before it is deployed, and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import exp

from flows.evaluation import answers, page
from flows.run.context import Run
from tasks import promotion
from tasks.azure.failure import Cause, Failure
from tasks.core.names import model_name
from tasks.core.stage import asked, logger
from tasks.core.stages import Stage
from tasks.deploy import BASE
from tasks.evaluation.earlier import Earlier
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.result import Candidate, Evaluation, Fault
from tasks.gate.rule import Judgement, Measured, Metric, Model, Rule
from tasks.metrics import Metrics
from tasks.promotion import Version

_FAULTS = {
    Fault.EMPTY: Metric.EMPTY_ANSWERS,
    Fault.RUNAWAY: Metric.RUNAWAY_ANSWERS,
    Fault.CUT: Metric.CUT_ANSWERS,
    Fault.LANGUAGE: Metric.OTHER_LANGUAGE,
}


def admits(run: Run) -> bool:
    """Whether the rules that need no endpoint let the model be deployed."""
    rules = [rule for rule in run.config.gate.parsed if not rule.metric.needs_endpoint]
    run.incumbent = _incumbent(run)
    run.judgement = judged(rules, run.metrics, None, run.incumbent)
    if not run.judgement.passed:
        page.publish_judgement(run.judgement)
    return run.judgement.passed


def refuse(run: Run) -> None:
    """Keep the registered model as a candidate, with the reasons; raises Failure if the recipe wants it."""
    promotion.record(run.session, run.model, run.judgement, _measured(run), False)
    if run.config.gate.otherwise == "fail":
        raise Failure(
            f"The model {run.model.name}:{run.model.version} has not passed the gate: "
            f"{'; '.join(run.judgement.reasons)}.",
            "It is registered as a candidate. Change the data, the parameters or gate.rules.",
            cause=Cause.GATE,
        )
    logger().warning("Not passed: %s", "; ".join(run.judgement.reasons))


def examine(run: Run) -> bool:
    """Evaluate what is deployed, and say whether all rules are kept."""
    config = run.config
    evaluation = None
    if config.evaluation.prompts:
        deployments = {_candidate(each.name): each for each in run.deployments}
        evaluation = evaluate(run.session, config.evaluation, run.data, deployments, dict(_known(run)))
        run.evaluation = evaluation
        page.publish(evaluation, run.incumbent)
    answers.publish(run)
    run.judgement = judged(config.gate.parsed, run.metrics, evaluation, run.incumbent)
    page.publish_judgement(run.judgement)
    return run.judgement.passed


def promote(run: Run) -> None:
    """Let the model be the one that the next run is held against."""
    promotion.record(run.session, run.model, run.judgement, _measured(run), True)


def judged(
    rules: Iterable[Rule], metrics: Metrics, evaluation: Evaluation | None, incumbent: Version | None
) -> Judgement:
    """The rules against the tuned model's metrics, the base model's and the incumbent's."""
    measured: dict[Model | None, Measured] = {
        None: {**of_training(metrics), **_of_answers(evaluation, Candidate.TUNED)},
        Model.BASE: {**_of_base(metrics), **_of_answers(evaluation, Candidate.BASE)},
    }
    if incumbent is not None:
        measured[Model.INCUMBENT] = incumbent.measured
    return Judgement(held=tuple(rule.held(measured) for rule in rules))


def of_training(metrics: Metrics) -> dict[Metric, float]:
    """What the job has measured of the tuned model; perplexity is that of the held-out loss."""
    found = {Metric.EVAL_LOSS: metrics.eval_loss, Metric.TRAIN_LOSS: metrics.train_loss}
    if metrics.eval_loss is not None:
        found[Metric.PERPLEXITY] = exp(metrics.eval_loss)
    return {metric: value for metric, value in found.items() if value is not None}


def _measured(run: Run) -> Measured:
    """Of the tuned model, as far as the run got."""
    return {**of_training(run.metrics), **_of_answers(Run.evaluation.of(run), Candidate.TUNED)}


def _of_base(metrics: Metrics) -> dict[Metric, float]:
    if metrics.base_loss is None:
        return {}
    return {Metric.EVAL_LOSS: metrics.base_loss, Metric.PERPLEXITY: exp(metrics.base_loss)}


def _of_answers(evaluation: Evaluation | None, candidate: Candidate) -> Mapping[Metric, float]:
    """What the answers tell of a candidate; nothing where none was asked."""
    if evaluation is None or not evaluation.of(candidate):
        return {}
    found: dict[Metric, float | None] = {
        Metric.ROUGE_L: evaluation.rouge_l(candidate),
        Metric.CHRF: evaluation.chrf(candidate),
        **{metric: float(evaluation.faults(fault, candidate)) for fault, metric in _FAULTS.items()},
    }
    if candidate is Candidate.TUNED:
        rates = [each.judged.rate.mean for each in evaluation.against if each.judged]
        found[Metric.WIN_RATE] = rates[0] if rates else None
    return {metric: value for metric, value in found.items() if value is not None}


def _incumbent(run: Run) -> Version | None:
    """The version of the model's name that was promoted before this job's own."""
    name = run.config.registration.name or model_name(run.base.name, run.plan.dataset)
    return asked(Stage.GATE, lambda: promotion.incumbent(run.session, name, run.trained.name))


def _known(run: Run) -> Iterator[tuple[Candidate, Earlier]]:
    """Who is not deployed, and what they have answered before."""
    told = Run.told.of(run)
    if told is not None and told.answers:
        yield Candidate.BASE, told
    if run.incumbent is not None:
        yield Candidate.INCUMBENT, answers.of_incumbent(run.incumbent)


def _candidate(deployment: str) -> Candidate:
    return Candidate.BASE if deployment == BASE else Candidate.TUNED

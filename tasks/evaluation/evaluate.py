"""The stage: ask the deployed models questions of the test split, and compare what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core import outage
from tasks.core.limit import WORK
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.data import PreparedData
from tasks.deploy import Deployment
from tasks.evaluation import form, score
from tasks.evaluation.earlier import Known, likeliest
from tasks.evaluation.interval import bootstrap
from tasks.evaluation.judge import Spending, judged
from tasks.evaluation.question import Question, questions
from tasks.evaluation.result import Against, Asked, Candidate, Evaluation, Interval, Scored
from tasks.invoke import request
from tasks.invoke import score as answer_of
from tasks.sections.evaluation import Evaluation as Section

Ask = Callable[[Question], str]


@stage(Stage.EVALUATE, limit=WORK)
def evaluate(
    session: Session,
    section: Section,
    data: PreparedData,
    deployments: Mapping[Candidate, Deployment],
    known: Known,
) -> Evaluation:
    """Ask every deployed candidate the same questions, each by as many at once as its machines take.

    The others are known by what they have answered before. Raises Failure where an endpoint or the judge
    refuses; an answer that is empty is a finding.
    """
    wanted = questions(Path(data.test.path), section.prompts, section.seed)
    report(f"{len(wanted)} questions to {' and '.join(each.name for each in deployments.values())}")
    found = _asked(session, section, wanted, deployments, lambda: _load_scores(data))
    for who, earlier in known.items():
        found[who] = [earlier.to(question, section) for question in wanted]
    asked = tuple(
        _scored(question, {who: answers[at] for who, answers in found.items()}, data, section)
        for at, question in enumerate(wanted)
    )
    spending = Spending(section.judge)
    against = tuple(compare(section, asked, spending))
    if section.judge.url:
        logger().info("The judge: %s", spending.bill)
    return Evaluation(
        asked=asked,
        against=against,
        note="" if score.is_available() or not asked else score.MISSING,
        judge=spending.bill if section.judge.url else None,
    )


def compare(section: Section, asked: Sequence[Asked], spending: Spending) -> list[Against]:
    """The tuned model beside each other that has answers, with intervals over the conversations of both."""
    found = []
    for other in (Candidate.BASE, Candidate.INCUMBENT):
        both = [each for each in asked if {Candidate.TUNED, other} <= each.answers.keys()]
        if not both:
            continue
        pairs = [(each.answers[Candidate.TUNED], each.answers[other]) for each in both]
        judge = section.judge
        verdicts = judged(spending, judge, both, other, section.seed) if judge.url else None
        found.append(
            Against(
                other=other,
                rouge_l=_difference([(a.rouge_l, b.rouge_l) for a, b in pairs], section.seed),
                chrf=_difference([(a.chrf, b.chrf) for a, b in pairs], section.seed),
                judged=verdicts,
            )
        )
    return found


def _difference(pairs: Sequence[tuple[float | None, float | None]], seed: int) -> Interval | None:
    known = [a - b for a, b in pairs if a is not None and b is not None]
    return bootstrap(known, seed) if known and len(known) == len(pairs) else None


def _asked(
    session: Session,
    section: Section,
    wanted: Sequence[Question],
    deployments: Mapping[Candidate, Deployment],
    meanwhile: Callable[[], None],
) -> dict[Candidate, list[str | None]]:
    """The candidates' answers. All are asked at the same time: each has machines of its own, which cost."""
    with ExitStack() as pools:
        answering: dict[Candidate, Iterator[str]] = {}
        for candidate, deployment in deployments.items():
            ask = _asking(session, section, deployment)
            at_once = deployment.instance_count * section.at_once
            pool = ThreadPoolExecutor(at_once, thread_name_prefix=f"ask {deployment.name}")
            answering[candidate] = pools.enter_context(pool).map(ask, wanted)
        meanwhile()
        return {candidate: list(answers) for candidate, answers in answering.items()}


def _load_scores(data: PreparedData) -> None:
    """Load what scores an answer, which takes most of a second, while the answers are waited for."""
    score.load()
    form.load(data.window)


def _asking(session: Session, section: Section, deployment: Deployment) -> Ask:
    """What asks the deployment one question, and outlasts an endpoint that is busy or away."""
    endpoints = clients.workspace(session).online_endpoints
    address = endpoints.get(deployment.endpoint).scoring_uri
    key = endpoints.get_keys(deployment.endpoint).primary_key
    wanted = likeliest(section)

    def ask(question: Question) -> str:
        body = request(question.messages, wanted)
        try:
            return outage.outlast(lambda: answer_of(address, key, deployment.name, body))
        except Failure as failure:
            if failure.cause is not Cause.ANSWER or not isinstance(failure.__cause__, ValueError):
                raise
            logger().warning("%s answered nothing that can be read: %s", deployment.name, failure.what)
            return ""

    return ask


def _scored(
    question: Question, answers: Mapping[Candidate, str | None], data: PreparedData, section: Section
) -> Asked:
    reference = question.reference
    return Asked(
        messages=question.messages,
        reference=reference,
        answers={
            who: Scored(
                text=text,
                rouge_l=score.rouge_l(text, reference),
                chrf=score.chrf(text, reference),
                faults=tuple(form.faults(text, reference, data.window, section.max_new_tokens)),
            )
            for who, text in answers.items()
            if text is not None
        },
    )

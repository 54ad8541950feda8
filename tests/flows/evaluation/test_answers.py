"""When the base model need not be deployed beside the tuned one: its answers are an earlier run's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prefect import flow
from prefect.runtime import flow_run

from flows.evaluation import answers
from flows.run.config import Finetune, load
from flows.run.context import Run
from tasks.azure import sizes
from tasks.core.reuse import Reused
from tasks.data import PreparedData
from tasks.data.prepared import PreparedSplit
from tasks.evaluation.earlier import Earlier
from tasks.evaluation.question import questions
from tasks.evaluation.result import Asked, Candidate, Evaluation, Scored
from tasks.invoke import Conversation, sample
from tasks.job.pipeline import Submission
from tasks.promotion import Version
from tasks.register import RegisteredModel
from tests.support.any_model import ANY_MODEL
from tests.support.checkout import ROOT
from tests.support.prefect_server import PrefectServer

SIZES = sizes.shipped()
TEST = ROOT / "tasks" / "data" / "sample" / "test_sft.jsonl"


def run_of(config: Finetune, of: str | None = None, id: str = "r") -> Run:
    """A run that is about to deploy; what it uses was made by the flow run `of`."""
    split = PreparedSplit(name="test_sft", path=TEST, rows=0, bytes=0, sha256="")
    made = Run(config, id=id, trigger="ad hoc")
    made.base = ANY_MODEL
    made.serving = SIZES["standard_nc4as_t4_v3"]
    made.data = PreparedData(source="sample", revision=None, train=split, test=split, directory=TEST.parent)
    reused = Reused(kind="job", name="j", run=of) if of else None
    made.submission = Submission(name="j", status="Completed", created=None, studio_url="", reused=reused)
    made.model = RegisteredModel(id="m", name="m", version="1")
    made.incumbent = None
    return made


@pytest.fixture(scope="module")
def first(prefect_server: PrefectServer) -> str:
    """The id of a flow run that has compared its model with the base model, as the recipe `local` does."""

    @flow(name="compares")
    def compares() -> str:
        run = run_of(load("local"), id=str(flow_run.id))
        section = run.config.evaluation
        said = {
            who: Scored(text=f"{who}'s", rouge_l=None, chrf=None, faults=())
            for who in (Candidate.TUNED, Candidate.BASE)
        }
        run.evaluation = Evaluation(
            asked=tuple(
                Asked(messages=each.messages, reference=each.reference, answers=said)
                for each in questions(TEST, section.prompts, section.seed)
            ),
            against=(),
        )
        messages, truth = sample(TEST, run.config.invoke.seed)
        run.conversation = Conversation(
            messages=messages, answer="tuned", base_answer="to the sample", ground_truth=truth, seconds=1
        )
        answers.publish(run)
        return run.id

    return compares()


def test_answers_of_the_run_that_made_the_job_are_taken(first: str) -> None:
    run = run_of(load("local"), of=first)
    run.told = answers.of_base(run)
    assert run.told.run == first
    section = run.config.evaluation
    asked = questions(TEST, section.prompts, section.seed)
    assert {run.told.to(each, section) for each in asked} == {"base's"}
    assert answers.to_the_sample(run, sample(TEST, run.config.invoke.seed)[0]) == "to the sample"


def test_so_are_those_of_the_incumbents_run_and_of_the_incumbent_itself(first: str) -> None:
    run = run_of(load("local"))
    run.incumbent = Version(id="m", name="m", version="1", created=None, tags={"finetune.run": first})
    assert answers.of_base(run).run == first
    assert set(answers.of_incumbent(run.incumbent).answers.values()) == {"tuned's"}


@pytest.mark.parametrize(
    "change",
    [
        "evaluation.prompts=5",  # one that nobody was asked
        "evaluation.max_new_tokens=61",
        "invoke.temperature=0.7",
        "invoke.seed=3",
        "fresh=true",
        "deploy.keep_endpoint=4h",  # to talk to both
        "deploy.compare_with_base=false",
    ],
)
def test_of_another_question_or_for_another_purpose_none_is(first: str, change: str) -> None:
    assert answers.of_base(run_of(load("local", [change]), of=first)) == Earlier()


def other_size(run: Run) -> None:
    run.serving = SIZES["standard_nc24ads_a100_v4"]


def other_version(run: Run) -> None:
    run.base = ANY_MODEL.model_copy(update={"id": "y", "version": "2"})


@pytest.mark.parametrize("change", [other_size, other_version])
def test_nor_of_another_model_or_machine(first: str, change: Callable[[Run], None]) -> None:
    run = run_of(load("local"), of=first)
    change(run)
    assert answers.of_base(run) == Earlier()


@pytest.mark.parametrize("holder", ["0e2a6d3c-43f5-4a44-9d0b-000000000001", "no flow run's id", None])
def test_of_a_run_that_nobody_knows_none_are_known(prefect_server: PrefectServer, holder: Any) -> None:
    assert answers.of_base(run_of(load("local"), of=holder)) == Earlier()

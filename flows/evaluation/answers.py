"""Answers kept with the run: of the incumbent, and of a base model that is not deployed for them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.run.context import Run
from tasks.azure.errors import explain
from tasks.core.artifacts import create_table_artifact
from tasks.core.display import displaying
from tasks.core.log import logger
from tasks.evaluation.earlier import Earlier, digest, likeliest
from tasks.evaluation.question import questions
from tasks.evaluation.result import Candidate
from tasks.invoke import Message, sample
from tasks.promotion import Version

KEY = "finetune-answers"

_Row = dict[str, Any]


def publish(run: Run) -> None:
    """What the tuned and the base model have answered, a row a request, for programs."""
    if rows := list(_rows(run)):
        with displaying():
            create_table_artifact(rows, key=KEY, description="The answers, by the digests of the requests")


def of_incumbent(version: Version) -> Earlier:
    """What the version has answered in the run that made it, as long as that run's server is this one."""
    found = _kept([version.run], Candidate.TUNED)
    return Earlier(answers={row["request"]: row["answer"] for row in found}, run=version.run)


def of_base(run: Run) -> Earlier:
    """All that the run would ask of its base model, if earlier runs have asked that on such a machine.

    Those that have made the model or the incumbent are looked at. Nothing is known where one answer is not,
    where everything shall be made anew, and where the base model shall stay beside the tuned one.
    """
    deploy = run.config.deploy
    if not deploy.compare_with_base or deploy.is_kept or run.config.fresh:
        return Earlier()
    made = [each.run for each in (run.submission.reused, run.model.reused) if each]
    rows = [
        row
        for row in _kept([*made, *([run.incumbent.run] if run.incumbent else [])], Candidate.BASE)
        if (row["model"], row["size"]) == (run.base.id, run.serving.name)
    ]
    earlier = Earlier(
        answers={row["request"]: row["answer"] for row in rows}, run=rows[-1]["run"] if rows else None
    )
    if not rows or not earlier.knows(_wanted(run)):
        return Earlier()
    logger().info("The base model is not deployed: its answers are those of flow run %s", earlier.run)
    return earlier


def to_the_sample(run: Run, messages: Sequence[Message]) -> str | None:
    """The base model's answer to what the tuned model was asked to prove itself; None if it is not known."""
    return run.told.answers.get(digest(messages, run.config.invoke))


def _rows(run: Run) -> Iterator[_Row]:
    section, size = run.config.evaluation, run.serving.name
    evaluation, conversation = Run.evaluation.of(run), Run.conversation.of(run)
    told = Run.told.of(run) or Earlier()
    whose = {Candidate.TUNED: (run.model.id, run.id), Candidate.BASE: (run.base.id, told.run or run.id)}
    for candidate, (model, asker) in whose.items():
        of_whom = {"candidate": candidate.value, "model": model, "size": size, "run": asker}
        for asked in evaluation.asked if evaluation else ():
            if candidate in asked.answers:
                request = digest(asked.messages, likeliest(section))
                yield {**of_whom, "request": request, "answer": asked.answers[candidate].text}
        if candidate is Candidate.BASE and conversation and conversation.base_answer is not None:
            request = digest(conversation.messages, run.config.invoke)
            yield {**of_whom, "request": request, "answer": conversation.base_answer}


def _wanted(run: Run) -> Iterator[str]:
    """The digests of all that the run asks of a model."""
    path, section = Path(run.data.test.path), run.config.evaluation
    yield digest(sample(path, run.config.invoke.seed)[0], run.config.invoke)
    for question in questions(path, section.prompts, section.seed) if section.prompts else ():
        yield digest(question.messages, likeliest(section))


def _kept(runs: Sequence[str | None], candidate: Candidate) -> list[_Row]:
    """The candidate's answers that those runs have kept, the oldest first; none where nobody can be asked."""
    try:
        return [row for row in _read([UUID(run) for run in runs if run]) if row.get("candidate") == candidate]
    except Exception as error:  # noqa: BLE001 - the comparison is made without them, or they are asked for again
        logger().info("Answers of earlier runs are not known: %s", explain(error).what)
        return []


def _read(runs: list[UUID]) -> Iterator[_Row]:
    if not runs:
        return
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=runs))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC)
    for artifact in reversed(found):
        data: Any = artifact.data
        yield from json.loads(data) if isinstance(data, str) else data or ()

"""Answers kept with the run: the next model is compared with the incumbent's, which nobody deploys for it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

from tasks.azure.errors import explain
from tasks.core.artifacts import create_table_artifact
from tasks.core.log import logger
from tasks.core.stage import displaying
from tasks.evaluation.evaluate import Earlier
from tasks.evaluation.question import digest
from tasks.evaluation.result import Candidate, Evaluation
from tasks.promotion import Version
from tasks.sections.evaluation import Evaluation as Section

KEY = "finetune-answers"


def publish(evaluation: Evaluation, section: Section) -> None:
    """The tuned model's answers, a row a question, for programs."""
    rows = [
        {
            "question": digest(asked.messages),
            "max_new_tokens": section.max_new_tokens,
            "answer": asked.answers[Candidate.TUNED].text,
        }
        for asked in evaluation.asked
        if Candidate.TUNED in asked.answers
    ]
    with displaying():
        create_table_artifact(
            rows, key=KEY, description="The tuned model's answers, by the question's digest"
        )


def of_incumbent(version: Version, section: Section) -> Earlier:
    """What the version has answered in the run that made it, as long as that run's server is this one.

    Answers of another length are left out: they would be compared for it.
    """
    try:
        rows = _rows(UUID(version.run or ""))
    except Exception as error:  # noqa: BLE001 - the comparison with the base model stands without it
        logger().info("The incumbent's answers are not known: %s", explain(error).what)
        return Earlier()
    return Earlier(
        answers={
            str(row["question"]): str(row["answer"])
            for row in rows
            if row.get("max_new_tokens") == section.max_new_tokens
        }
    )


def _rows(run: UUID) -> list[dict[str, Any]]:
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=[run])
    )
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    data: Any = found[-1].data if found else []
    rows: list[dict[str, Any]] = json.loads(data) if isinstance(data, str) else list(data or [])
    return rows

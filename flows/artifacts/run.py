"""What people want to see of a run on its page in Prefect; stable keys give each a history."""

from __future__ import annotations

import json
from collections.abc import Iterable

from flows.artifacts import card, data_card
from flows.artifacts.markdown import quoted, table
from flows.run import lineage
from flows.run.context import Run
from flows.run.outcome import outcome
from flows.run.report import KEY, RunReport
from tasks.core.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from tasks.core.display import displaying
from tasks.data import PreparedData
from tasks.delete import Deletion
from tasks.deploy import Deployment
from tasks.invoke import Conversation
from tasks.job.pipeline import Plan, Submission


def publish_data(data: PreparedData) -> None:
    data_card.publish(data)


def publish_parameters(plan: Plan) -> None:
    with displaying():
        create_table_artifact(
            parameter_rows(plan),
            key="finetune-parameters",
            description="Effective parameters, with their origin",
        )


def publish_links(run: Run) -> None:
    job = run.submission
    if not job.studio_url:
        return
    with displaying():
        create_link_artifact(
            job.studio_url,
            link_text=f"Job {job.name} in the studio",
            key="finetune-job",
            description="The job, its steps, its outputs and logs in the studio",
        )


def publish_report(report: RunReport, run: Run) -> None:
    """The machine-readable row of the run, and its card."""
    conversation, submission = Run.conversation.of(run), Run.submission.of(run)
    page = card.page(
        report,
        run,
        conversation_page(conversation) if conversation else "",
        mlflow_page(submission, run.plan.experiment, run.session.tracking_uri) if submission else "",
        endpoint_page(Run.deployments.of(run) or (), report.deletion),
    )
    with displaying():
        row = json.loads(report.model_dump_json())
        create_table_artifact([row], key=KEY, description=outcome(report))
        create_markdown_artifact(
            page, key="finetune-summary", description=outcome(report), pictures=card.pictures(run)
        )
    lineage.publish(run)


def parameter_rows(plan: Plan) -> list[dict[str, str]]:
    """Every parameter that the job gets or that was left out, by origin."""
    effective = plan.effective
    rows = [
        {
            "parameter": name,
            "value": str(value),
            "set by": effective.origin[name],
            "instead of": effective.overridden.get(name, ""),
        }
        for name, value in sorted(effective.values.items())
    ]
    rows += [
        {"parameter": name, "value": str(value), "set by": "compute", "instead of": ""}
        for name, value in plan.inputs.items()
    ]
    rows += [
        {"parameter": name, "value": "(left out)", "set by": why, "instead of": ""}
        for name, why in effective.dropped.items()
    ]
    return rows


def mlflow_page(job: Submission, experiment: str, tracking_uri: str) -> str:
    """Where the job's metrics are, for whoever has MLflow and azureml-mlflow at hand."""
    rows = table(
        ["", ""],
        [
            ["run", f"[`{job.name}`]({job.studio_url})"],
            ["experiment", f"`{experiment}`"],
            ["tracking URI", f"`{tracking_uri}`"],
        ],
    )
    code = f'import mlflow\n\nmlflow.set_tracking_uri("{tracking_uri}")\nmlflow.get_run("{job.name}")'
    return f"{rows}\n\n```python\n{code}\n```"


def conversation_page(conversation: Conversation) -> str:
    turns = "\n\n".join(
        f"**{message.role}**\n\n{quoted(message.content)}" for message in conversation.messages
    )
    answers = [("tuned model", conversation.answer)]
    if conversation.base_answer is not None:
        answers.append(("base model", conversation.base_answer))
    answers.append(("the data", conversation.ground_truth))
    answered = "\n\n".join(f"**answer of {who}**\n\n{quoted(text)}" for who, text in answers)
    return f"{turns}\n\n---\n\n{answered}\n\nAnswered in {conversation.seconds:.1f} s."


def endpoint_page(deployments: Iterable[Deployment], deletion: Deletion | None) -> str:
    """What has served the model, and what became of it."""
    rows = [
        [
            f"`{each.name}`",
            f"{each.instance_count} × {each.instance_type}",
            f"{each.hourly:.2f}",
            f"{each.seconds:.0f}",
            "yes" if each.reused else "",
        ]
        for each in deployments
    ]
    heads = ["deployment", "machines", "dollars an hour", "ready after, s", "reused"]
    served = table(heads, rows, right=(2, 3)) if rows else ""
    return "\n\n".join(filter(None, (served, deletion_page(deletion) if deletion else "")))


def deletion_page(deletion: Deletion) -> str:
    """What became of the endpoint; of one that is kept also how it is asked."""
    page = f"Endpoint `{deletion.endpoint}`: **{deletion}**."
    if deletion.use is None:
        return page
    lines = "\n".join(f"# {name}\n{line}" for name, line in deletion.use.commands())
    return f"{page}\n\nIts address: {deletion.use.address}\n\n```sh\n{lines}\n```"

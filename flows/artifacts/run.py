"""What people want to see of a run on its page in Prefect; stable keys give each a history."""

from __future__ import annotations

import json

from flows.artifacts import data_card, plots
from flows.artifacts.markdown import quoted, table
from flows.run import figures
from flows.run.context import Run
from flows.run.outcome import outcome
from flows.run.report import RunReport, failure_of
from tasks.core.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from tasks.core.stage import displaying
from tasks.data import PreparedData
from tasks.delete import Deletion
from tasks.deploy import Deployment
from tasks.invoke import Conversation
from tasks.job.pipeline import Plan, Submission
from tasks.metrics import Metrics

KEY = "finetune-run"


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
        create_markdown_artifact(
            mlflow_page(job, run.plan.experiment, run.session.tracking_uri),
            key="finetune-mlflow",
            description="The job's run in MLflow",
        )


def publish_metrics(metrics: Metrics) -> None:
    with displaying():
        create_table_artifact(metric_rows(metrics), key="finetune-metrics", description="Final metrics")
        if metrics.loss or metrics.held_out:
            create_image_artifact(
                plots.loss_curve(metrics), key="finetune-loss", description="Loss over the steps"
            )


def publish_endpoint(deployments: tuple[Deployment, ...]) -> None:
    rows = [
        {
            "endpoint": deployment.endpoint,
            "deployment": deployment.name,
            "instances": f"{deployment.instance_count} × {deployment.instance_type}",
            "dollars an hour": deployment.hourly,
            "ready after": f"{deployment.seconds:.0f} s",
            "reused": bool(deployment.reused),
        }
        for deployment in deployments
    ]
    with displaying():
        create_table_artifact(rows, key="finetune-endpoint", description="What serves the model")


def publish_conversation(conversation: Conversation) -> None:
    with displaying():
        create_markdown_artifact(
            conversation_page(conversation),
            key="finetune-conversation",
            description="A question of the test split, answered",
        )


def publish_deletion(deletion: Deletion) -> None:
    with displaying():
        create_markdown_artifact(
            deletion_page(deletion),
            key="finetune-deletion",
            description="Proof of deletion, or how to use it",
        )


def publish_report(report: RunReport, run: Run) -> None:
    """The machine-readable row of the run, and the summary with what it cost."""
    with displaying():
        row = json.loads(report.model_dump_json())
        create_table_artifact([row], key=KEY, description=outcome(report))
        create_markdown_artifact(
            summary_page(report, run.failure), key="finetune-summary", description=outcome(report)
        )
        create_table_artifact(cost_rows(report), key="finetune-cost", description="US dollars")


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


def metric_rows(metrics: Metrics) -> list[dict[str, str | float]]:
    rows: list[dict[str, str | float]] = [
        {"metric": name, "value": value} for name, value in sorted(metrics.final.items())
    ]
    if metrics.base_loss is not None:
        rows.append({"metric": "eval_loss before training", "value": metrics.base_loss})
    return rows


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


def deletion_page(deletion: Deletion) -> str:
    """What became of the endpoint; of one that is kept also how it is asked."""
    page = f"Endpoint `{deletion.endpoint}`: **{deletion}**."
    if deletion.use is None:
        return page
    lines = "\n".join(f"# {name}\n{line}" for name, line in deletion.use.commands())
    return f"{page}\n\nIts address: {deletion.use.address}\n\n```sh\n{lines}\n```"


def summary_page(report: RunReport, failure: BaseException | None) -> str:
    """One page that says what was made, what it cost and how long each stage took."""
    rows: list[tuple[str, str | None]] = [
        ("outcome", outcome(report)),
        ("cause", report.cause),
        ("job", report.job),
        ("model", f"{report.model}:{report.model_version}" if report.model else None),
        ("held-out loss", figures.losses(report.base_loss, report.eval_loss)),
        ("endpoint", f"{report.endpoint}: {report.deletion or 'unknown'}" if report.endpoint else None),
        ("cost", f"{'at least ' if report.cost_is_least else ''}{figures.dollars(report.cost_usd)}"),
        ("reused", ", ".join(map(str, report.reused)) or None),
        ("notes", "; ".join(report.notes) or None),
    ]
    page = table(["", ""], [[name, value] for name, value in rows if value is not None])
    stages = table(
        ["stage", "seconds"], [[name, f"{value:.1f}"] for name, value in report.seconds_by_stage.items()]
    )
    details = ""
    if isinstance(failure, Exception):
        what, service = failure_of(failure)
        details = f"\n\n## Failure\n\n{what}" + (f"\n\n```\n{service[-6000:]}\n```" if service else "")
    return f"# {report.recipe}: {report.outcome}\n\n{page}\n\n{stages}{details}"


def cost_rows(report: RunReport) -> list[dict[str, str | float]]:
    return [
        {"what": "training", "dollars": report.training_usd},
        {"what": "serving", "dollars": report.serving_usd},
        {"what": "together", "dollars": report.cost_usd},
    ]

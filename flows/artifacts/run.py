"""What people want to see of a run on its page in Prefect; stable keys give each a history."""

from __future__ import annotations

import json
from collections.abc import Sequence

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.artifacts import data_card, plots
from flows.run.outcome import outcome
from flows.run.report import Findings, RunReport, failure_of
from tasks.core.stage import displaying
from tasks.data import PreparedData
from tasks.delete import Deletion
from tasks.invoke import Conversation
from tasks.job.pipeline import Plan
from tasks.metrics import Metrics

KEY = "finetune-run"


def publish_data(data: PreparedData) -> None:
    data_card.publish(data)


def publish_plan(plan: Plan, found: Findings, price: str) -> None:
    with displaying():
        create_table_artifact(
            parameter_rows(plan),
            key="finetune-parameters",
            description="Effective parameters, with their origin",
        )
        create_markdown_artifact(
            plan_page(plan, found, price), key="finetune-plan", description="What the run is about to do"
        )


def publish_links(found: Findings) -> None:
    if found.submission is None or not found.submission.studio_url:
        return
    with displaying():
        create_link_artifact(
            found.submission.studio_url,
            link_text=f"Job {found.submission.name} in the studio",
            key="finetune-job",
            description="The job, its steps, its outputs and logs in the studio",
        )
        create_markdown_artifact(
            mlflow_page(found), key="finetune-mlflow", description="The job's run in MLflow"
        )


def publish_metrics(metrics: Metrics) -> None:
    with displaying():
        create_table_artifact(metric_rows(metrics), key="finetune-metrics", description="Final metrics")
        if metrics.loss or metrics.held_out:
            create_image_artifact(
                plots.loss_curve(metrics), key="finetune-loss", description="Loss over the steps"
            )


def publish_endpoint(found: Findings) -> None:
    rows = [
        {
            "endpoint": deployment.endpoint,
            "deployment": deployment.name,
            "instances": f"{deployment.instance_count} × {deployment.instance_type}",
            "dollars an hour": deployment.hourly,
            "ready after": f"{deployment.seconds:.0f} s",
            "adopted": deployment.adopted,
        }
        for deployment in found.deployments
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
            f"Endpoint `{deletion.endpoint}` is **{deletion.state}**: {deletion.proof}.",
            key="finetune-deletion",
            description="Proof of deletion",
        )


def publish_report(report: RunReport, found: Findings) -> None:
    """The machine-readable row of the run, and the summary with what it cost."""
    with displaying():
        row = json.loads(report.model_dump_json())
        create_table_artifact([row], key=KEY, description=outcome(report))
        create_markdown_artifact(
            summary_page(report, found), key="finetune-summary", description=outcome(report)
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


def plan_page(plan: Plan, found: Findings, price: str) -> str:
    config, cluster = found.config, found.cluster
    lines = [f"# {plan.display_name}", ""]
    if found.base:
        lines.append(f"- base model `{found.base.name}` version {found.base.version}")
        lines += [f"- ⚠ {warning}" for warning in found.base.warnings]
    if found.data:
        lines.append(f"- {found.data.train.rows:,} rows of {found.data.source} to train on")
    lines.append(f"- component `{plan.component.name}` version {plan.component.version}")
    if cluster:
        lines.append(f"- {cluster.nodes} × {cluster.size} in `{cluster.name}`")
    lines.append(f"- served by {config.deploy.instance_count} × {config.deploy.instance_type}")
    lines.append(f"- {price}")
    lines.append(f"- fingerprint `{plan.fingerprint}`")
    return "\n".join(lines)


def mlflow_page(found: Findings) -> str:
    """Where the job's metrics are, for whoever has MLflow and azureml-mlflow at hand."""
    assert found.submission is not None
    assert found.session is not None
    job, experiment = found.submission.name, found.plan.experiment if found.plan else ""
    rows = _table(
        ["", ""],
        [
            ["run", f"[`{job}`]({found.submission.studio_url})"],
            ["experiment", f"`{experiment}`"],
            ["tracking URI", f"`{found.session.tracking_uri}`"],
        ],
    )
    code = (
        f'import mlflow\n\nmlflow.set_tracking_uri("{found.session.tracking_uri}")\nmlflow.get_run("{job}")'
    )
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
        f"**{message.role}**\n\n{_quoted(message.content)}" for message in conversation.messages
    )
    answers = [("tuned model", conversation.answer)]
    if conversation.base_answer is not None:
        answers.append(("base model", conversation.base_answer))
    answers.append(("the data", conversation.ground_truth))
    told = "\n\n".join(f"**answer of {who}**\n\n{_quoted(text)}" for who, text in answers)
    return f"{turns}\n\n---\n\n{told}\n\nAnswered in {conversation.seconds:.1f} s."


def summary_page(report: RunReport, found: Findings) -> str:
    """One page that says what was made, what it cost and how long each stage took."""
    rows: list[tuple[str, str | None]] = [
        ("outcome", outcome(report)),
        ("job", report.job),
        ("model", f"{report.model}:{report.model_version}" if report.model else None),
        ("held-out loss", _losses(report)),
        ("endpoint", f"{report.endpoint}: {report.deletion}" if report.endpoint else None),
        ("cost", f"${report.cost_usd:.4f}"),
        ("adopted", ", ".join(report.adopted) or None),
        ("notes", "; ".join(report.notes) or None),
    ]
    page = _table(["", ""], [[name, value] for name, value in rows if value is not None])
    stages = _table(
        ["stage", "seconds"], [[name, f"{value:.1f}"] for name, value in report.seconds_by_stage.items()]
    )
    details = ""
    if found.failure is not None:
        what, service = failure_of(found.failure)
        details = f"\n\n## Failure\n\n{what}\n\n```\n{service[-6000:]}\n```"
    return f"# {report.recipe}: {report.outcome}\n\n{page}\n\n{stages}{details}"


def cost_rows(report: RunReport) -> list[dict[str, str | float]]:
    return [
        {"what": "training", "dollars": report.training_usd},
        {"what": "serving", "dollars": report.serving_usd},
        {"what": "together", "dollars": report.cost_usd},
    ]


def _losses(report: RunReport) -> str | None:
    if report.eval_loss is None:
        return None
    was = f"{report.base_loss:.4f} → " if report.base_loss is not None else ""
    return f"{was}{report.eval_loss:.4f}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())

"""The card of a run: one page in Prefect, read from top to bottom, with the details behind it."""

from __future__ import annotations

from collections.abc import Iterator

from flows.artifacts import plots
from flows.artifacts.markdown import table
from flows.run import figures
from flows.run.context import Run
from flows.run.outcome import outcome
from flows.run.report import RunReport, failure_of
from tasks.metrics import Metrics

LOSS = "loss"  # the picture's name in the page


def page(report: RunReport, run: Run, conversation: str, mlflow: str, endpoint: str) -> str:
    """The outcome, its cost, before and after, the conversation, what was made and what was deleted."""
    parts = [
        f"# {report.recipe}: {report.outcome}",
        f"**{outcome(report)}**",
        _figures(report),
        *_failure(run.failure),
        *_before_and_after(run),
        *_section("The conversation", conversation),
        *_section("What was made", "\n".join(_made(report, run))),
        *_section("The endpoint", endpoint),
        *_section("How to use it", _use(report)),
        *_details("How long each stage took", _stages(report)),
        *_details("The metrics", _metrics(Run.metrics.of(run))),
        *_details("The job's run in MLflow", mlflow),
    ]
    return "\n\n".join(parts)


def pictures(run: Run) -> dict[str, str]:
    """The pictures of the page by their names, as data URIs."""
    metrics = Run.metrics.of(run)
    return {LOSS: plots.loss_curve(metrics)} if metrics and _has_curve(metrics) else {}


def _figures(report: RunReport) -> str:
    least = "at least " if report.cost_is_least else ""
    cost = (
        f"{least}{figures.dollars(report.cost_usd)} (training {figures.dollars(report.training_usd)}, "
        f"serving {figures.dollars(report.serving_usd)})"
    )
    rows: list[tuple[str, str | None]] = [
        ("cost", cost),
        ("of another run's job", _taken(report)),
        ("took", figures.duration(report.seconds)),
        ("held-out loss", figures.losses(report.base_loss, report.eval_loss)),
        ("ROUGE-L", figures.losses(report.base_rouge_l, report.rouge_l)),
        ("gate", "; ".join(filter(None, (report.gate, *report.gate_reasons))) or None),
        ("held against", report.incumbent),
        ("cause", report.cause),
        ("reused", ", ".join(map(str, report.reused)) or None),
        ("notes", "; ".join(report.notes) or None),
    ]
    return table(["", ""], [[name, value] for name, value in rows if value is not None])


def _taken(report: RunReport) -> str | None:
    """What of the dollars another run's job has cost, or is that run's to report."""
    others = [job for job in report.jobs if job.run != report.run]
    return (
        "; ".join(
            f"`{job.name}` of flow run {job.run}: {figures.dollars(job.counted)} of "
            f"{figures.dollars(job.dollars)} counted here"
            for job in others
        )
        or None
    )


def _failure(failure: BaseException | None) -> Iterator[str]:
    if isinstance(failure, Exception):
        what, service = failure_of(failure)
        yield f"## Failure\n\n{what}"
        if service:
            yield f"```\n{service[-6000:]}\n```"


def _before_and_after(run: Run) -> Iterator[str]:
    metrics = Run.metrics.of(run)
    if metrics and _has_curve(metrics):
        yield f"## Before and after\n\n![Loss over the steps]({LOSS})"


def _has_curve(metrics: Metrics) -> bool:
    return bool(metrics.loss or metrics.held_out)


def _made(report: RunReport, run: Run) -> Iterator[str]:
    """What exists after the run, and where it is looked at."""
    data = Run.data.of(run)
    if data is not None:
        yield f"- data: {report.data_rows:,} rows of `{data.source}`"
    if report.job:
        job = f"[`{report.job}`]({report.studio_url})" if report.studio_url else f"`{report.job}`"
        yield f"- job: {job} (fingerprint `{report.fingerprint}`)"
    if report.model:
        yield f"- model: `{report.model}:{report.model_version}`"


def _use(report: RunReport) -> str:
    """The lines that get the model; nothing where there is none."""
    if not report.model:
        return ""
    return "\n".join(
        [
            "```python",
            "from azure.ai.ml import MLClient",
            "from azure.identity import DefaultAzureCredential",
            "",
            "client = MLClient.from_config(DefaultAzureCredential())",
            f'client.models.download("{report.model}", version="{report.model_version}")',
            "```",
        ]
    )


def _stages(report: RunReport) -> str:
    rows = [[name, f"{value:.1f}"] for name, value in report.seconds_by_stage.items()]
    return table(["stage", "seconds"], rows, right=(1,))


def _metrics(metrics: Metrics | None) -> str:
    if metrics is None:
        return ""
    rows = [[name, f"{value:g}"] for name, value in sorted(metrics.final.items())]
    if metrics.base_loss is not None:
        rows.append(["eval_loss before training", f"{metrics.base_loss:g}"])
    return table(["metric", "value"], rows, right=(1,))


def _section(title: str, text: str) -> Iterator[str]:
    if text:
        yield f"## {title}\n\n{text}"


def _details(title: str, text: str) -> Iterator[str]:
    """A part that is closed until somebody opens it."""
    if text:
        yield f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"

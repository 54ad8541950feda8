"""The plan on a run's page in Prefect."""

from __future__ import annotations

from flows.artifacts.markdown import table
from flows.plan.plan import Plan
from flows.plan.sections import LEGEND, sections, title
from tasks.core.artifacts import create_markdown_artifact
from tasks.core.display import displaying

KEY = "finetune-plan"


def publish(plan: Plan) -> None:
    with displaying():
        create_markdown_artifact(page(plan), key=KEY, description="What the run is about to do")


def page(plan: Plan) -> str:
    """The sections as tables."""
    parts = [f"# {title(plan)}"]
    for section in sections(plan):
        parts += [f"## {section.title}", table(["", ""], section.rows)]
        if section.title == "Stages":
            parts.append(LEGEND)
    return "\n\n".join(parts)

"""Promotion: the gate's outcome on a model's version, and the version that the next is held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import unless_missing
from tasks.core.lease import PREFIX, RUN
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.gate.rule import Judgement, Measured, Metric
from tasks.register import JOB, RegisteredModel

GATE, REASONS, PROMOTED = (f"{PREFIX}{name}" for name in ("gate", "gate-reasons", "promoted"))
PASSED, CANDIDATE = "passed", "candidate"
_NEVER = datetime.min.replace(tzinfo=UTC)
_LONGEST = 250  # characters of a tag's value: Azure's limit is 256


class Version(BaseModel):
    """A registered version as its tags describe it; `promoted` is when it passed the gate last."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: str
    created: datetime | None
    tags: dict[str, str]

    @property
    def promoted(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.tags[PROMOTED])
        except (KeyError, ValueError):
            return None

    @property
    def gate(self) -> str:
        return self.tags.get(GATE, "")

    @property
    def run(self) -> str | None:
        """The flow run that made it."""
        return self.tags.get(RUN)

    @property
    def measured(self) -> Measured:
        """Its metrics, as far as tags have them."""
        found = {}
        for metric in Metric:
            try:
                found[metric] = float(self.tags[tag_of(metric)])
            except (KeyError, ValueError):
                continue
        return found


def tag_of(metric: Metric) -> str:
    """The tag that holds a metric's value."""
    return f"{PREFIX}{metric.value.replace('_', '-')}"


def versions(session: Session, name: str | None = None) -> list[Version]:
    """The versions of a model, or of all models that this project has registered, the newest first."""
    models = clients.workspace(session).models
    names = [name] if name else [str(each.name) for each in models.list()]
    found = [_read(each) for one in names for each in _listed(models, one)]
    ours = [each for each in found if name or JOB in each.tags]
    return sorted(ours, key=lambda each: (each.name, len(each.version), each.version), reverse=True)


def incumbent(session: Session, name: str, job: str) -> Version | None:
    """The version that was promoted last, but for those of this job."""
    found = [each for each in versions(session, name) if each.promoted and each.tags.get(JOB) != job]
    return max(found, key=lambda each: each.promoted or _NEVER, default=None)


@stage(Stage.GATE)
def record(
    session: Session, model: RegisteredModel, judgement: Judgement, measured: Measured, promote: bool
) -> None:
    """Write the outcome and what was measured to the version's tags, and promote it if that is wanted."""
    report(f"{model.name}:{model.version}")
    models = clients.workspace(session).models
    found = models.get(model.name, version=model.version)
    found.tags = {**(found.tags or {}), **_tags(judgement, measured)}
    if promote:
        found.tags[PROMOTED] = datetime.now(UTC).isoformat(timespec="seconds")
    models.create_or_update(found)
    outcome = "is promoted" if promote else "is a candidate: " + "; ".join(judgement.reasons)
    logger().info("%s:%s %s", model.name, model.version, outcome)


def _tags(judgement: Judgement, measured: Measured) -> dict[str, str]:
    return {
        GATE: PASSED if judgement.passed else CANDIDATE,
        REASONS: "; ".join(judgement.reasons)[:_LONGEST],
        **{tag_of(metric): f"{value:.4f}" for metric, value in measured.items()},
    }


def _listed(models: Any, name: str) -> Iterable[Any]:
    return unless_missing(lambda: list(models.list(name=name))) or ()


def _read(model: Any) -> Version:
    tags: Mapping[str, Any] = model.tags or {}
    return Version(
        id=str(model.id),
        name=str(model.name),
        version=str(model.version),
        created=getattr(model.creation_context, "created_at", None),
        tags={name: str(value) for name, value in tags.items()},
    )

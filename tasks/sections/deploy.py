"""Where and how the model is served: the section of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.core.lease import LONGEST
from tasks.sections.names import EndpointName, Size

BASE = "base"
_FOREVER = "forever"
_DURATION = r"\d+(\.\d+)?[mhd]"
_IN_THE_FORM = r"\d{1,6}(\.\d+)?m|\d{1,4}(\.\d+)?h|\d{1,3}(\.\d+)?d"  # what may be within a year
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}
LONGEST_LEASE = 24 * 30.0  # hours
LONGEST_START = 24 * 60.0  # minutes until a deployment is ready


class Probe(BaseModel):
    """How the service asks a container how it is; times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    initial_delay: int = Field(600, ge=1, description="Before the first question.")
    period: int = Field(10, ge=1, description="Between two questions.")
    timeout: int = Field(10, ge=1, lt=300, description="For an answer.")
    failure_threshold: int = Field(30, ge=1, description="Failures in a row before it is given up.")
    success_threshold: int = Field(1, ge=1, description="Successes in a row before it counts as well.")


class Rollout(BaseModel):
    """How a lasting endpoint goes over from one deployment to the next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (10, 50, 100),
        min_length=1,
        description="Shares of the traffic for the new deployment, in percent, the last of them 100.",
    )
    probes: int = Field(
        10, ge=1, le=1000, description="Questions to the new deployment before the first step and at each."
    )
    step_minutes: float = Field(5, ge=0, le=24 * 60, description="Minutes at each step before the last.")
    max_error_rate: float = Field(
        0, ge=0, lt=1, description="The share of probes that may fail; an empty answer is a failure."
    )
    max_p95_seconds: float | None = Field(
        None, gt=0, description="Seconds within which 95 % of the answers must come; empty asks for nothing."
    )
    grace_minutes: float = Field(
        30, ge=0, le=24 * 60, description="Minutes after the last step until the old deployment is deleted."
    )

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)) or steps[-1] != 100:
            raise ValueError("the steps must rise and end with 100")
        return steps


class Deploy(BaseModel):
    """Where and how the model is served."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Deploy")

    mode: Literal["prove", "serve"] = Field(
        "prove",
        description="`prove` makes an endpoint, asks the model and deletes it; `serve` rolls the model out "
        "behind a lasting endpoint, beside the deployment that serves there.",
    )
    endpoint: EndpointName | None = Field(
        None,
        description="The endpoint's name, unique in the region; follows from the job when left out.",
    )
    deployment: EndpointName = Field(
        "demo",
        description="The name of the tuned model's deployment behind the endpoint.",
    )
    instance_type: Size = Field("Standard_NC24ads_A100_v4", description="VM size of the deployment.")
    instance_count: int = Field(1, ge=1, le=50, description="Machines that serve; each of them costs.")
    request_timeout_ms: int = Field(
        90_000, ge=1, le=180_000, title="Request time-out", description="Milliseconds for an answer."
    )
    max_concurrent_requests: int = Field(
        8,
        ge=1,
        le=1000,
        description="Requests that a machine works on; as many again wait, and more are refused with 429. "
        "Azure's own default of 1 refuses the third.",
    )
    liveness: Probe = Field(Probe(), title="Liveness probe")
    readiness: Probe = Field(Probe(), title="Readiness probe")
    timeout_minutes: float = Field(
        120,
        gt=0,
        le=LONGEST_START,
        title="Time-out",
        description="Minutes until a deployment that is not ready is given up; on a GPU 20 to 40 are usual.",
    )
    lease_hours: float = Field(
        6,
        gt=0,
        le=LONGEST_LEASE,
        description="So long after it was made or last used, `finetune reap` deletes what a run has lost.",
    )
    keep_endpoint: str | None = Field(
        None,
        title="Keep the endpoint",
        json_schema_extra={"pattern": rf"^({_FOREVER}|{_IN_THE_FORM})?$"},
        description="Leave it up for 30m, 4h, 2d (at most a year) or `forever`; deleted at the end if empty.",
    )
    compare_with_base: bool = Field(
        False,
        title="Compare with the base model",
        description="Deploy the base model beside the tuned one for its answers, unless an earlier run has "
        "them; only to prove.",
    )
    rollout: Rollout = Field(Rollout(), title="Roll-out")

    @model_validator(mode="after")
    def _lasting_has_a_name(self) -> Deploy:
        if self.mode == "serve" and self.endpoint is None:
            raise ValueError("to serve, the endpoint needs a name that stays: set deploy.endpoint")
        return self

    @field_validator("deployment")
    @classmethod
    def _not_base(cls, name: str) -> str:
        if name == BASE:
            raise ValueError(f"{BASE!r} is the name of the base model's deployment")
        return name

    @field_validator("keep_endpoint")
    @classmethod
    def _duration(cls, text: str | None) -> str | None:
        if text and text != _FOREVER and not re.fullmatch(_DURATION, text):
            raise ValueError(f"{text!r} is no duration such as 30m, 4h or 2d, and not `{_FOREVER}`")
        hours = _hours(text) if text else None
        if hours is not None and not 0 < hours <= LONGEST:
            raise ValueError(f"{text!r} is not between 1m and {LONGEST / 24:.0f}d; for ever is `{_FOREVER}`")
        return text or None

    @property
    def deployments(self) -> int:
        """How many deployments of that size a run makes, which are up together."""
        return 2 if self.compare_with_base and self.mode == "prove" else 1

    @property
    def is_kept(self) -> bool:
        """Whether the endpoint stays after the run."""
        return self.mode == "serve" or self.keep_endpoint is not None

    @property
    def kept_for(self) -> str:
        """The same in words, after `kept for`."""
        return self.keep_endpoint if self.keep_endpoint not in (None, _FOREVER) else "ever"

    def kept_hours(self) -> float | None:
        """How long the endpoint is kept; None for ever. Asks only where it is."""
        return _hours(self.keep_endpoint or _FOREVER)


def _hours(duration: str) -> float | None:
    """A duration's hours; None for ever."""
    return None if duration == _FOREVER else float(duration[:-1]) * _HOURS[duration[-1]]

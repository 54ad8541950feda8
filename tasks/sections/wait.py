"""How the job is waited for: the section of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.core.lease import LONGEST


class Wait(BaseModel):
    """How long to wait for the job, at what cost, and what to show meanwhile."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Wait")

    mode: Literal["poll", "suspend"] = Field(
        "poll",
        title="While it waits",
        description="`poll` keeps the process; `suspend` ends it, and the flow `watch` resumes the run.",
    )
    timeout_hours: float = Field(
        24,
        gt=0,
        le=LONGEST,
        description="Cancel the job after this. A run that reuses another run's job counts the hours that it "
        "waits itself, and ends without it.",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        title="Budget",
        description="Cancel the job when it has cost this many dollars; another run's job goes on without "
        "this run.",
    )
    poll_seconds: float = Field(30, ge=0.1, description="The longest pause between two looks at the job.")
    outage_minutes: float = Field(
        60,
        ge=0,
        description="How long Azure may be out of reach, in any stage, before giving up; what deletes goes "
        "on for twice as long.",
    )
    forward_logs: bool = Field(True, description="Copy the running step's log into the run's log.")

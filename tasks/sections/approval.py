"""Whether somebody must agree before a run costs anything: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tasks.core.lease import LONGEST


class Approval(BaseModel):
    """A person's yes to the plan, given in Prefect's UI to the suspended run of a deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Approval")

    required: bool = Field(
        False,
        description="Suspend the run with its plan before anything is paid for, until somebody resumes it "
        "and says yes.",
    )
    hours: float = Field(
        24, gt=0, le=LONGEST, title="Deadline", description="A run that nobody has resumed by then fails."
    )

"""What is asked of the deployment: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Invoke(BaseModel):
    """What to ask of the deployment, and how it shall answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Invoke")

    temperature: float = Field(0.6, ge=0, le=2, description="How much chance has in the answer.")
    top_p: float = Field(
        0.9, gt=0, le=1, title="Top-p", description="Draw from the tokens that make up this probability."
    )
    do_sample: bool = Field(True, title="Sampling", description="Off takes the likeliest token each time.")
    max_new_tokens: int = Field(200, ge=1, description="The longest answer.")
    seed: int = Field(0, description="Which row of the test split is asked.")

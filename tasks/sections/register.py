"""The name of the registered model: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tasks.sections.names import AssetName


class Register(BaseModel):
    """The name to register the model under."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Register")

    name: AssetName | None = Field(
        None,
        description="The registered model's name; made of the base model's and the data's when left out.",
    )

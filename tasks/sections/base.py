"""Which model to start from: the section of the configuration."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tasks.sections.names import AssetName, RegistryName, Version


class Base(BaseModel):
    """The model to start from: a registry's, the workspace's own, or what an earlier run has made."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Base model")

    name: AssetName = Field("SmolLM2-135M-Instruct", description="The model's name.")
    version: Version | None = Field(None, description="A version; the newest when left out.")
    registry: RegistryName | None = Field(
        "azureml", description="The registry that offers the model; empty for the workspace's own models."
    )
    from_run: UUID | None = Field(
        None,
        title="From run",
        description="Go on from the model that this flow run has registered; `name` is its base model's.",
    )
    allow_retired: bool = Field(
        False, description="Use a model that is archived, or that Azure has retired from fine-tuning."
    )

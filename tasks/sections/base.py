"""Which model to start from: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tasks.sections.names import AssetName, RegistryName, Version


class Base(BaseModel):
    """The registry model to start from."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Base model")

    name: AssetName = Field("SmolLM2-135M-Instruct", description="The model's name in the registry.")
    version: Version | None = Field(None, description="A version; the newest when left out.")
    registry: RegistryName = Field("azureml", description="The registry that offers the model.")
    allow_retired: bool = Field(
        False, description="Use a model that is archived, or that Azure has retired from fine-tuning."
    )

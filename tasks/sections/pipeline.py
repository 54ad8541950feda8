"""The component that trains: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tasks.sections.names import AssetName, ExperimentName, RegistryName, Version


class Pipeline(BaseModel):
    """The component that trains, and how its job is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Pipeline")

    component: AssetName = Field("chat_completion_pipeline", description="The component's name.")
    version: Version | None = Field(None, description="A version; the newest when left out.")
    registry: RegistryName | None = Field(
        "azureml", description="The registry that offers the component; empty for the workspace's own."
    )
    output: str = Field(
        "mlflow_model_folder", description="The component's output that holds the MLflow model."
    )
    experiment: ExperimentName | None = Field(
        None, description="Experiment to list the job under; named after the model."
    )
    force_rerun: bool = Field(
        True, description="Run every step, also where Azure could reuse an earlier result."
    )
    continue_on_step_failure: bool = Field(
        False, description="Go on with steps that a failed one does not feed."
    )

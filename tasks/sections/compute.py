"""Which cluster trains: the section of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.sections.names import ClusterName, Size

_MOST_NODES = 65_000  # of a cluster: learn.microsoft.com/azure/machine-learning/how-to-manage-quotas
SERVERLESS = "serverless"  # machines that the service brings along for the job, and no cluster
SYSTEM = "system"
_IDENTITY = (
    "/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/[^/]+"
)


class Compute(BaseModel):
    """The cluster that trains."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Compute")

    name: ClusterName = Field(
        "gpu-cluster-big",
        description="An existing cluster, the name of the one to create, or `serverless`.",
    )
    size: Size = Field(
        "Standard_NC24ads_A100_v4",
        description="VM size of a cluster that must be created, and of serverless machines.",
    )
    create: bool = Field(True, description="Create the cluster when it does not exist.")
    keep: bool = Field(
        False, description="Leave a cluster that this run created; without nodes it costs nothing."
    )
    nodes: int = Field(1, ge=1, le=_MOST_NODES, description="Nodes that train together.")
    max_nodes: int = Field(1, ge=1, le=_MOST_NODES, description="The most nodes a created cluster grows to.")
    min_nodes: int = Field(
        0,
        ge=0,
        le=_MOST_NODES,
        description="Nodes a created cluster never goes below; they always cost.",
    )
    idle_seconds: int = Field(
        120, ge=60, le=86_400, description="A created cluster's node without work ends after this."
    )
    tier: Literal["dedicated", "low_priority"] = Field(
        "dedicated", description="Low priority costs less and may be taken away at any time."
    )
    identity: str | None = Field(
        None,
        pattern=rf"^({SYSTEM}|{_IDENTITY})$",
        title="Managed identity",
        description="Of a created cluster, where the storage takes no keys: `system`, or the resource id of "
        "a user-assigned one.",
    )
    model_import: ClusterName | None = Field(None, description="Another cluster for the step model import.")
    preprocess: ClusterName | None = Field(None, description="Another cluster for the step preprocess.")
    finetune: ClusterName | None = Field(None, description="Another cluster for the step finetune.")
    evaluation: ClusterName | None = Field(None, description="Another cluster for the step evaluation.")

    @model_validator(mode="after")
    def _nodes_fit(self) -> Compute:
        if self.min_nodes > self.max_nodes:
            raise ValueError("min_nodes is more than max_nodes")
        if self.nodes > self.max_nodes:
            raise ValueError("nodes is more than max_nodes, so that the training would be queued for ever")
        return self

    @model_validator(mode="after")
    def _serverless_is_dedicated(self) -> Compute:
        if self.is_serverless and self.tier != "dedicated":
            raise ValueError("serverless machines are dedicated here: the component takes no job tier")
        if self.is_serverless and self.identity:
            raise ValueError("serverless machines come with the identity of the one who submits the job")
        return self

    @property
    def is_created(self) -> bool:
        """Whether a run makes the cluster where it does not exist."""
        return self.create and not self.is_serverless

    @property
    def is_serverless(self) -> bool:
        """Whether the training runs without a cluster."""
        return self.training.casefold() == SERVERLESS

    @property
    def others(self) -> frozenset[str]:
        """The clusters of the steps that do not run where the training does."""
        named = (self.model_import, self.preprocess, self.evaluation)
        return frozenset(name or self.name for name in named) - {self.training, SERVERLESS}

    @property
    def training(self) -> str:
        """The cluster of the step that trains."""
        return self.finetune or self.name

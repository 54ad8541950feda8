"""What a smoke makes, how long each part may take, and what all of it can cost at most."""

from __future__ import annotations

from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.azure.failure import Cause, Failure
from tasks.azure.sizes import Size, check_serves
from tasks.sections.compute import Compute

# Of those that Azure offers in every workspace, one that has both MLflow, for the steps, and Azure's
# inference server, for the deployment (azureml-assets, assets/training/general/environments/sklearn-1.5).
ENVIRONMENT = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
SIZE = "Standard_DS3_v2"

JOB_LIMIT = 45 * 60.0  # seconds: the start of a node and of a container included
IDLE = 120  # seconds until a node without work ends
DEPLOYMENT_LIMIT = 60 * 60.0
DELETION_LIMIT = 30 * 60.0
LEASE_HOURS = 4.0  # `reap` deletes after this what a lost process has left
_BETWEEN = 15 * 60.0  # for all that is asked of a deployment once it is ready


class Plan(BaseModel):
    """A smoke's names and machines; `price` in dollars an hour of one machine."""

    model_config = ConfigDict(frozen=True)

    run: str
    name: str  # of cluster, job, model and endpoint alike
    size: Size
    environment: str
    price: float
    identity: str | None = None  # of the cluster, where the storage takes no keys

    @property
    def worst(self) -> float:
        """The most dollars that it can cost: one node, then one machine that serves, each to its limit."""
        seconds = JOB_LIMIT + IDLE + DEPLOYMENT_LIMIT + _BETWEEN + DELETION_LIMIT
        return self.price * seconds / 3600


def planned(size: Size, environment: str, max_usd: float) -> Plan:
    """The plan of one smoke; raises Failure where its price is not known, or it could cost more than that."""
    price = size.hourly()
    if not price:
        raise Failure(
            f"The price of {size.name} is not known, so that --max-usd could not be kept.",
            "Give the identity the action Microsoft.MachineLearningServices/locations/vmSizes/read on the "
            "subscription, or choose a size with a published price by --size.",
            cause=Cause.BUDGET,
        )
    run = str(uuid4())
    plan = Plan(run=run, name=f"smoke-{run[:8]}", size=size, environment=environment, price=price)
    if plan.worst > max_usd:
        raise Failure(
            f"A smoke on {size.name} can come to ${plan.worst:.2f}, which is more than ${max_usd:.2f}.",
            "Raise --max-usd, or choose a cheaper size by --size. Most smokes cost a third of that.",
            cause=Cause.BUDGET,
        )
    check_serves(size, "Choose another size by --size.")
    return plan


def with_identity(plan: Plan, identity: str | None) -> Plan:
    """The plan with a cluster of that identity; raises Failure for what is none."""
    try:
        Compute(identity=identity)
    except ValidationError as error:
        raise Failure(
            f"{identity!r} is neither 'system' nor the resource id of a user-assigned identity.",
            "See compute.identity in docs/recipes.md.",
            cause=Cause.CONFIGURATION,
        ) from error
    return plan.model_copy(update={"identity": identity})

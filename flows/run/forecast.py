"""What a run will cost, said before anything of it is submitted; US dollars."""

from __future__ import annotations

from flows.run.config import Finetune
from flows.run.most import Bound, most
from tasks.azure.failure import Cause, Failure
from tasks.azure.sizes import Size
from tasks.compute import Cluster


def forecast(config: Finetune, cluster: Cluster, serving: Size) -> str:
    """The price of an hour of training and of serving, and the most that the training can come to.

    Raises Failure for a budget where no price is known: it would never be reached.
    """
    if config.wait.budget_usd is not None and not cluster.hourly:
        raise Failure(
            f"wait.budget_usd cannot be kept: no price of {cluster.size} is known.",
            "Leave it out and set wait.timeout_hours, or let the identity read the prices of sizes "
            "(Microsoft.MachineLearningServices/locations/vmSizes/read on the subscription).",
            cause=Cause.CONFIGURATION,
        )
    hourly = serving.hourly() * config.deploy.instance_count * config.deploy.deployments
    kept = f", kept for {config.deploy.kept_for}" if config.deploy.is_kept else ""
    if config.deploy.mode == "serve":
        kept += ", and as much for the deployment that serves there until it is deleted"
    whose = "it costs" if config.workspace.bills else "Azure would charge"
    return (
        f"{whose} {_dollars(cluster.hourly)} an hour for training, {_most(config, cluster)}; "
        f"then {_dollars(hourly)} an hour for serving{kept}"
    )


def _most(config: Finetune, cluster: Cluster) -> str:
    """The wait ends at whichever comes first: its time-out, or its budget."""
    found = most(config, cluster.hourly, None)
    if found.training is None:
        return f"for {found.training_hours:g} h at most"
    bound = Bound.BUDGET.value if found.bound is Bound.BUDGET else f"{found.bound} {found.training_hours:g} h"
    return f"at most {_dollars(found.training)} ({bound})"


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount else "an unpublished price"

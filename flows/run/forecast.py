"""What a run will cost, said before anything of it is submitted; US dollars."""

from __future__ import annotations

from flows.run.config import Finetune
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
    hourly = serving.hourly() * config.deploy.instance_count * (2 if config.deploy.compare_with_base else 1)
    kept = f", kept for {config.deploy.keep_endpoint}" if config.deploy.keep_endpoint else ""
    whose = "Azure would charge" if config.workspace.where == "local" else "it costs"
    return (
        f"{whose} {_dollars(cluster.hourly)} an hour for training, {_most(config, cluster)}; "
        f"then {_dollars(hourly)} an hour for serving{kept}"
    )


def _most(config: Finetune, cluster: Cluster) -> str:
    """The wait ends at whichever comes first: its time-out, or its budget."""
    budget, hours = config.wait.budget_usd, config.wait.timeout_hours
    if not cluster.hourly:
        return f"for {hours:g} h at most"
    until_timeout = cluster.hourly * hours
    if budget is not None and budget < until_timeout:
        return f"at most {_dollars(budget)} (budget)"
    return f"at most {_dollars(until_timeout)} (time-out {hours:g} h)"


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount else "an unpublished price"

"""The cores that a run needs of the quota, for whoever compares them with what is left."""

from __future__ import annotations

from flows.run.config import Finetune
from tasks import quota
from tasks.azure.sizes import Size
from tasks.quota import Need


def needs(config: Finetune, training: Size, serving: Size, *, exists: bool) -> tuple[Need, Need]:
    """Of training and serving; `exists` says whether the cluster does, whose nodes count already."""
    compute, deploy = config.compute, config.deploy
    return (
        quota.training(training, compute.nodes, compute.tier, exists=exists),
        quota.serving(serving, deploy.instance_count, deploy.deployments),
    )

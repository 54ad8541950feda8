"""What deployments cost: one running row of the ledger each, for all its instances."""

from __future__ import annotations

import threading

from azureml_local.execution.deployment import Deployment
from azureml_local.state.ledger import Billed, Ledger


class DeploymentBills:
    """Starts, changes and ends the bills of deployments. Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()

    def start(self, deployment: Deployment) -> None:
        """Bill the deployment, or go on at another price where its size or instances have changed."""
        endpoint = deployment.name.partition("/")[0]
        item = Billed(
            kind="deployment",
            name=deployment.name,
            vm_size=deployment.size.name,
            hourly_price=deployment.size.price * deployment.instances,
            owner=endpoint,
        )
        with self._lock:
            for row in self._ledger.running("deployment", deployment.name):
                if (row.vm_size, row.hourly_price) == (item.vm_size, item.hourly_price):
                    return
            self._stop(deployment.name)
            self._ledger.start(item)

    def stop(self, name: str) -> None:
        """End the bill of the deployment, if it has one."""
        with self._lock:
            self._stop(name)

    def _stop(self, name: str) -> None:
        for row in self._ledger.running("deployment", name):
            self._ledger.stop(row.id)

"""The resource providers of a subscription: what of Azure it may use at all."""

from __future__ import annotations

from tasks.azure import clients
from tasks.azure.clients import Session

# Each workspace is made of resources of these; the container registry is made when an image is first built.
NEEDED = (
    "Microsoft.MachineLearningServices",
    "Microsoft.Storage",
    "Microsoft.KeyVault",
    "Microsoft.ContainerRegistry",
)
REGISTERED = "Registered"
# Providers_Get (OpenAPI, Microsoft.Resources).
_VERSION = "2021-04-01"


def state(session: Session, provider: str) -> str:
    """How far the subscription's registration for the provider is: `Registered`, `NotRegistered`, …"""
    path = f"/subscriptions/{session.subscription_id}/providers/{provider}"
    return str(clients.read(session, path, _VERSION).get("registrationState") or "")

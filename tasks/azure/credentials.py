"""Credentials that Prefect keeps: a block of our own, which runs refer to and never hold."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class AzureSignIn(Block):
    """How runs sign in to Azure: as a service principal, or as the managed identity of their machine.

    A block without a secret is a managed identity. Prefect encrypts the secret; parameters, logs and results
    show only a reference to the block.
    """

    _block_type_name = "Fine-tune sign-in to Azure"
    _block_type_slug = "finetune-azure-sign-in"
    _logo_url = None
    _documentation_url = None

    client_id: str = Field(
        title="Client id", description="Of the service principal, or of a user-assigned managed identity."
    )
    tenant_id: str | None = Field(None, title="Tenant id", description="A service principal's.")
    client_secret: SecretStr | None = Field(
        None, title="Client secret", description="A service principal's; empty for a managed identity."
    )

    def environment(self) -> dict[str, str]:
        """The variables that azure-identity, and whatever else signs in within the process, goes by."""
        # Named alone, so that nothing else of the chain is asked before it or instead of it.
        if self.client_secret is None:
            return {
                "AZURE_CLIENT_ID": self.client_id,
                "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            }
        return {
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_TENANT_ID": self.tenant_id or "",
            "AZURE_CLIENT_SECRET": self.client_secret.get_secret_value(),
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        }

    def reference(self) -> dict[str, Any]:
        """What stands for the block in parameters; raises ValueError for one that Prefect does not keep."""
        if self._block_document_id is None:
            raise ValueError("the credentials are not saved as a block: call their `save` first")
        return {"$ref": {"block_document_id": str(self._block_document_id)}}


def resolved(value: Any) -> Any:
    """The block that a reference names: `{$ref: {block_document_slug: finetune-azure-sign-in/NAME}}`.

    Prefect resolves the references in a flow's parameters by itself; recipes and hooks have them as written.
    Raises ValueError for credentials themselves, which Prefect would show to everybody.
    """
    if not isinstance(value, dict):
        return value
    if set(value) != {"$ref"}:
        raise ValueError("credentials must not be parameters: save a block in Prefect, and refer to it")
    return Block.load_from_ref(value["$ref"])


def register() -> None:
    """Make the block's type known to Prefect's server, so that its pages offer it: a step of prefect.yaml."""
    AzureSignIn.register_type_and_schema()

"""Credentials that Prefect keeps: a block of our own, which runs refer to and never hold."""

from __future__ import annotations

from typing import Any, Literal

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, model_validator

Kind = Literal["service principal", "managed identity", "workload identity"]

# Every variable that azure-identity's chain goes by: those that a kind does not set must not be inherited.
_VARIABLES = (
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
)


class AzureSignIn(Block):
    """How runs sign in to Azure: as a service principal, or as the identity of their machine or pod.

    Prefect encrypts the secrets; parameters, logs and results show only a reference to the block.
    """

    _block_type_name = "Fine-tune sign-in to Azure"
    _block_type_slug = "finetune-azure-sign-in"
    _logo_url = None
    _documentation_url = None

    kind: Kind | None = Field(
        None,
        title="Kind",
        description="What signs in; when empty a service principal where there is a secret or a "
        "certificate, else a managed identity.",
    )
    client_id: str | None = Field(
        None,
        title="Client id",
        description="Of the service principal or of a user-assigned managed identity; empty for the "
        "machine's own (system-assigned) identity, and for a workload identity that the pod names itself.",
    )
    tenant_id: str | None = Field(
        None,
        title="Tenant id",
        description="A service principal's; a workload identity's when not the pod's.",
    )
    client_secret: SecretStr | None = Field(
        None, title="Client secret", description="A service principal's, where it has no certificate."
    )
    certificate_path: str | None = Field(
        None, title="Certificate", description="A PEM or PKCS12 file on the worker, of a service principal."
    )
    certificate_password: SecretStr | None = Field(
        None, title="Password of the certificate", description="Of a certificate that has one."
    )

    @model_validator(mode="after")
    def _complete(self) -> AzureSignIn:
        if self.signs_in_as != "service principal":
            return self
        if not (self.client_id and self.tenant_id):
            raise ValueError("a service principal needs its client id and its tenant id")
        if bool(self.client_secret) == bool(self.certificate_path):
            raise ValueError("a service principal needs either a client secret or a certificate")
        return self

    @property
    def signs_in_as(self) -> Kind:
        if self.kind is not None:
            return self.kind
        return "service principal" if self.client_secret or self.certificate_path else "managed identity"

    def environment(self) -> dict[str, str | None]:
        """The variables that azure-identity, and whatever else signs in within the process, goes by.

        None stands for one that must not be there.
        """
        credential = {
            "service principal": "EnvironmentCredential",
            "managed identity": "ManagedIdentityCredential",
            "workload identity": "WorkloadIdentityCredential",
        }[self.signs_in_as]
        # Named alone, so that nothing else of the chain is asked before it or instead of it.
        return {**self._variables(), "AZURE_TOKEN_CREDENTIALS": credential}

    def _variables(self) -> dict[str, str | None]:
        own = {
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_SECRET": _secret(self.client_secret),
            "AZURE_CLIENT_CERTIFICATE_PATH": self.certificate_path,
            "AZURE_CLIENT_CERTIFICATE_PASSWORD": _secret(self.certificate_password),
        }
        if self.signs_in_as == "workload identity":  # the pod's webhook sets what the block leaves out
            return {name: value for name, value in own.items() if value is not None}
        return {name: own[name] for name in _VARIABLES}

    @property
    def saved_as(self) -> str | None:
        """The name under which Prefect keeps them; None where it does not."""
        return self._block_document_name

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


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None

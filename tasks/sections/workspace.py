"""Which workspace to work in: the section of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    field_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from tasks.sections.names import ResourceGroup, SubscriptionId, WorkspaceName

if TYPE_CHECKING:
    from tasks.azure.credentials import AzureSignIn

VARIABLES = {
    "subscription_id": "AZURE_SUBSCRIPTION_ID",
    "resource_group": "AZURE_RESOURCE_GROUP",
    "name": "AZUREML_WORKSPACE_NAME",
}


class SavedSignIn:
    """The type of a block in which Prefect keeps credentials, which is imported where there is one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_resolved)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        from tasks.azure.credentials import AzureSignIn

        # Under a name of its own, by which Prefect's form knows that it is a block.
        ref = f"{AzureSignIn.__module__}.AzureSignIn:1"
        block: Any = {**AzureSignIn.__pydantic_core_schema__, "ref": ref}
        named = core_schema.definitions_schema(core_schema.definition_reference_schema(ref), [block])
        return {"anyOf": [handler(named), {"type": "null"}]}


def _resolved(value: Any) -> AzureSignIn | None:
    """The block, also of a reference to it; raises ValueError for anything else."""
    if value is None:
        return None
    from tasks.azure.credentials import AzureSignIn, resolved

    return TypeAdapter(AzureSignIn).validate_python(resolved(value))


class Workspace(BaseModel):
    """Which Azure ML workspace to work in, and how to sign in to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Workspace")

    where: Literal["local", "azure"] = Field(
        "local",
        title="Where",
        description="`local` starts a workspace on this machine that costs nothing; `azure` is the real one.",
    )
    subscription_id: SubscriptionId | None = Field(
        None, description="Else AZURE_SUBSCRIPTION_ID, else config.json."
    )
    resource_group: ResourceGroup | None = Field(
        None, description="Else AZURE_RESOURCE_GROUP, else config.json."
    )
    name: WorkspaceName | None = Field(None, description="Else AZUREML_WORKSPACE_NAME, else config.json.")
    config: str | None = Field(
        None, description="A workspace's config.json; else one in this directory, its parents or .azureml/."
    )
    credentials: Annotated[Any, SavedSignIn()] = Field(
        None,
        title="Sign-in",
        description="A block in which Prefect keeps the credentials; else those of the environment, the "
        "machine or `az login`.",
    )
    browser_login: bool = Field(
        False,
        title="Browser login",
        description="Sign in in the browser when nothing else works at a terminal.",
    )

    @property
    def bills(self) -> bool:
        """Whether what runs there is paid for."""
        return self.where == "azure"

    @field_serializer("credentials")
    def _by_reference(self, credentials: AzureSignIn | None) -> dict[str, Any] | None:
        return None if credentials is None else credentials.reference()

    @model_validator(mode="after")
    def _local_has_no_address(self) -> Workspace:
        given = [name for name in (*VARIABLES, "config", "credentials") if getattr(self, name) is not None]
        if self.where == "local" and given:
            raise ValueError(
                f"{', '.join(given)} is for a workspace in Azure: set where to azure, or leave it out"
            )
        return self

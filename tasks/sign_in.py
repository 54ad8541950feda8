"""Sign in: a token that works, and the workspace it opens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_serializer, model_validator

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.credentials import AzureSignIn, resolved
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage

_VARIABLES = {
    "subscription_id": "AZURE_SUBSCRIPTION_ID",
    "resource_group": "AZURE_RESOURCE_GROUP",
    "name": "AZUREML_WORKSPACE_NAME",
}


class Workspace(BaseModel):
    """Which Azure ML workspace to work in, and how to sign in to it."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Workspace")

    where: Literal["local", "azure"] = Field(
        "local",
        title="Where",
        description="`local` starts a workspace on this machine that costs nothing; `azure` is the real one.",
    )
    subscription_id: str | None = Field(None, description="Else AZURE_SUBSCRIPTION_ID, else config.json.")
    resource_group: str | None = Field(None, description="Else AZURE_RESOURCE_GROUP, else config.json.")
    name: str | None = Field(None, description="Else AZUREML_WORKSPACE_NAME, else config.json.")
    config: str | None = Field(
        None, description="A workspace's config.json; else one in this directory, its parents or .azureml/."
    )
    credentials: Annotated[AzureSignIn | None, BeforeValidator(resolved)] = Field(
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

    @field_serializer("credentials")
    def _by_reference(self, credentials: AzureSignIn | None) -> dict[str, Any] | None:
        return None if credentials is None else credentials.reference()

    @model_validator(mode="after")
    def _local_has_no_address(self) -> Workspace:
        given = [name for name in (*_VARIABLES, "config", "credentials") if getattr(self, name) is not None]
        if self.where == "local" and given:
            raise ValueError(
                f"{', '.join(given)} is for a workspace in Azure: set where to azure, or leave it out"
            )
        return self


def is_named(workspace: Workspace) -> bool:
    """Whether anything says which workspace in Azure is meant, if perhaps not all that is needed."""
    return bool(
        workspace.config or workspace.credentials or any(_given(workspace).values()) or _nearest_config()
    )


@stage(Stage.SIGN_IN)
def sign_in(workspace: Workspace) -> Session:
    """Check the credential with a real token and the workspace with a real read.

    Raises Failure naming what is missing and how to supply it.
    """
    address = _address(workspace)
    credential = clients.credential(workspace.browser_login)
    manager = clients.resource_manager()
    report("asking for a token")
    credential.get_token(f"{manager}/.default")
    session = Session(
        **address,
        resource_manager=manager,
        browser_login=workspace.browser_login,
        location="",
        tracking_uri="",
    )
    try:
        found = clients.workspace(session).workspaces.get(session.workspace)
    except Exception as error:
        if is_missing(error):
            raise Failure(
                f"The resource group {session.resource_group!r} has no workspace {session.workspace!r}.",
                "Check the names, or create it: az ml workspace create -n NAME -g GROUP.",
                str(error),
                cause=Cause.NOT_FOUND,
            ) from error
        raise
    logger().info("Signed in to workspace %s in %s", session.workspace, found.location)
    return session.model_copy(update={"location": found.location, "tracking_uri": found.mlflow_tracking_uri})


def _address(workspace: Workspace) -> dict[str, str]:
    """Subscription, group and name: each from the config, else the environment, else config.json."""
    found = _given(workspace)
    if not all(found.values()):
        written = _config_file(workspace.config)
        found = {name: value or written.get(name, "") for name, value in found.items()}
    missing = [f"{name} ({_VARIABLES[name]})" for name, value in found.items() if not value]
    if missing:
        raise Failure(
            f"Which workspace? Missing: {', '.join(missing)}.",
            "Set them in the recipe's workspace section or in the environment, or download config.json "
            "from the workspace's page in the Azure portal into this directory.",
            cause=Cause.CONFIGURATION,
        )
    return {
        "subscription_id": found["subscription_id"],
        "resource_group": found["resource_group"],
        "workspace": found["name"],
    }


def _given(workspace: Workspace) -> dict[str, str]:
    """What the config and the environment say; empty strings where they do not."""
    return {
        name: getattr(workspace, name) or os.environ.get(variable, "")
        for name, variable in _VARIABLES.items()
    }


def _config_file(path: str | None) -> dict[str, str]:
    """What config.json says; an empty dict when none was named and none is found.

    Raises Failure when the named file is missing or a file is not what the portal hands out.
    """
    file = Path(path).expanduser() if path else _nearest_config()
    if file is None:
        return {}
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        return {
            "subscription_id": str(body.get("subscription_id", "")),
            "resource_group": str(body.get("resource_group", "")),
            "name": str(body.get("workspace_name", "")),
        }
    except FileNotFoundError:
        raise Failure(
            f"The workspace file {file} does not exist.",
            "Download it from the workspace's page in the Azure portal, or leave workspace.config out.",
            cause=Cause.CONFIGURATION,
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise Failure(
            f"The workspace file {file} cannot be read: {error}.",
            "Download it again from the Azure portal.",
            cause=Cause.CONFIGURATION,
        ) from error


def _nearest_config() -> Path | None:
    here = Path.cwd()
    places = (
        folder / name
        for folder in (here, *here.parents)
        for name in ("config.json", ".azureml/config.json", "aml_config/config.json")
    )
    return next((place for place in places if place.is_file()), None)

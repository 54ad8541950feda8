"""Sign in: a token that works, and the workspace it opens."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.sections.workspace import VARIABLES
from tasks.sections.workspace import Workspace as Workspace

# As the portal writes them into config.json.
_KEYS = {"subscription_id": "subscription_id", "resource_group": "resource_group", "name": "workspace_name"}


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
    address = address_of(workspace)
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
            raise _missing(session, error) from error
        raise
    logger().info("Signed in to workspace %s in %s", session.workspace, found.location)
    return session.model_copy(update={"location": found.location, "tracking_uri": found.mlflow_tracking_uri})


def _missing(session: Session, error: Exception) -> Failure:
    """What of subscription, group and workspace is not there, by the service's code."""
    code = str(getattr(getattr(error, "error", None), "code", ""))
    group, subscription = session.resource_group, session.subscription_id
    if code in ("SubscriptionNotFound", "InvalidSubscriptionId"):
        what = f"There is no subscription {subscription!r}, or none that the signed-in identity may see."
        do = "Check its id (az account list), and the tenant signed in to (az login --tenant TENANT)."
    elif code == "ResourceGroupNotFound":
        what = f"The subscription {subscription!r} has no resource group {group!r}."
        do = "Check its name, and that the subscription is the right one: az group list."
    else:
        what = f"The resource group {group!r} has no workspace {session.workspace!r}."
        do = "Check the names, or create it: az ml workspace create -n NAME -g GROUP."
    return Failure(what, do, str(error), cause=Cause.NOT_FOUND)


def address_of(workspace: Workspace) -> dict[str, str]:
    """Subscription, group and name: each from the config, else the environment, else config.json."""
    found = _given(workspace)
    if not all(found.values()):
        written = _config_file(workspace.config)
        found = {name: value or written.get(name, "") for name, value in found.items()}
    missing = [f"{name} ({VARIABLES[name]})" for name, value in found.items() if not value]
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
        name: getattr(workspace, name) or os.environ.get(variable, "") for name, variable in VARIABLES.items()
    }


def _config_file(path: str | None) -> dict[str, str]:
    """What config.json says; an empty dict when none was named and none is found.

    Raises Failure when the named file is missing or a file is not what the portal hands out.
    """
    file = Path(path).expanduser() if path else _nearest_config()
    if file is None:
        return {}
    try:
        body = json.loads(file.read_text(encoding="utf-8-sig"))  # editors on Windows write a byte order mark
        return {name: str(body.get(key) or "") for name, key in _KEYS.items()}
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
    """The workspace file of this directory or the next above that has one.

    Programs of all sorts have a config.json: one is a workspace's if it is named so in a folder for that, or
    has a key of a workspace's. What cannot be read at all is left to the one who wants it.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        for place in (".azureml/config.json", "aml_config/config.json", "config.json"):
            if (file := folder / place).is_file() and (file.parent != folder or _is_workspace_file(file)):
                return file
    return None


def _is_workspace_file(file: Path) -> bool:
    try:
        body = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    return isinstance(body, dict) and any(body.get(key) for key in _KEYS.values())

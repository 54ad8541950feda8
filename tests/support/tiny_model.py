"""The tiny component in a workspace, and its base model in the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.checkout import TINY
from tests.support.waiting import OFTEN

BASE = "tiny-chat-base"
_SIZES = "['Standard_NC4as_T4_v3', 'Standard_NC24ads_A100_v4']"


def install(folder: Path) -> None:
    """Make both in the workspace that the environment leads to; the model's files are in `folder`."""
    from azure.ai.ml import load_component
    from azure.ai.ml.entities import Model

    from tests.support.tiny.code import tiny_chat

    tiny_chat.write(folder, [])
    workspace_client().components.create_or_update(load_component(TINY / "component.yaml"))
    models = registry_client().models
    if any(version.version == "1" for version in models.list(name=BASE)):
        return  # of another process over the same state: a registry takes a version once
    models.create_or_update(
        Model(
            name=BASE,
            version="1",
            path=str(folder),
            type="mlflow_model",
            tags={"finetune_compute_allow_list": _SIZES, "inference_compute_allow_list": _SIZES},
        )
    )


def workspace_client() -> Any:
    """The SDK's client of the workspace, signed in as a script would."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    where = (os.environ[name] for name in names)
    return MLClient(DefaultAzureCredential(), *where, polling_interval=OFTEN)


def registry_client() -> Any:
    """The SDK's client of the registry."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(DefaultAzureCredential(), registry_name="azureml")

"""The private parts of azure-ai-ml that are used, each because the public face lacks what it knows.

Seen with azure-ai-ml 1.35.2; tests/tasks/azure/test_private.py holds every one of them, so that a new release
that moves something is noticed there and not in the middle of a run.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple


class RegistryFiles(NamedTuple):
    """Where a registry model's files are: an address with a signature, and what their names begin with."""

    container_url: str
    prefix: str


def resource_manager() -> str:
    """The address of the current cloud's resource manager.

    The SDK reads AZUREML_CURRENT_CLOUD and ARM_CLOUD_METADATA_URL itself and tells nobody the answer. What it
    has read of a cloud that it does not know it means to keep, but files under other names, and asks again
    for every client and upload, each time on a new connection: it is kept here, by the cloud's name.
    """
    from azure.ai.ml import _azure_environments as environments

    name = environments._get_default_cloud_name()
    if name not in environments._environments:
        environments._environments[name] = environments._get_cloud(name)
    return str(environments._get_base_url_from_metadata(name)).rstrip("/")


def look_at_no_stack() -> None:
    """Let the SDK do without the stack and its source lines, for all of this process.

    It searches it for a reason not to warn of an experimental class, such as every job that it reads, and for
    the file in which a pipeline is defined: 0.1 s each time once Prefect's modules are there. The classes are
    then made in silence, and the file is the function's own.
    """
    from azure.ai.ml._utils import _experimental
    from azure.ai.ml.dsl import _pipeline_decorator

    _experimental._should_skip_warning = lambda: True
    _pipeline_decorator._resolve_source_file = lambda: None


def record_no_activity() -> None:
    """Let the SDK write no records of its calls, for all of this process.

    It makes two for each, which its telemetry takes in a notebook and nobody elsewhere, and with every client
    adds another handler that drops them.
    """
    from azure.ai.ml import _ml_client
    from azure.ai.ml._telemetry.logging_handler import AML_INTERNAL_LOGGER_NAMESPACE

    _ml_client.configure_appinsights_logging = lambda *given, **settings: None
    logging.getLogger(AML_INTERNAL_LOGGER_NAMESPACE).setLevel(logging.CRITICAL)


def model_properties(models: Any, name: str, version: str) -> dict[str, Any]:
    """A model version's properties as the service has them.

    The SDK's Model drops what newer models keep outside their tags: system metadata and the archived mark.
    """
    properties: dict[str, Any] = models._get(name, version).properties
    return properties


def registry_versions(models: Any, name: str) -> list[str]:
    """Every version of a registry's model; the SDK lists archived ones in workspaces only."""
    from azure.ai.ml._restclient.arm_ml_service.models import ModelVersion
    from azure.ai.ml._utils._registry_utils import list_registry_assets

    found = list_registry_assets(
        models._registry_service_client,
        "models",
        name,
        models._resource_group_name,
        models._registry_name,
        ModelVersion,
        lambda version: str(version.name),
        list_view_type="All",
    )
    return list(found)


def registry_files(models: Any, model: Any) -> RegistryFiles:
    """Where a registry model's files are, as models.download finds out, which would get the weights too."""
    from azure.ai.ml._utils._registry_utils import get_storage_details_for_registry_assets
    from azure.ai.ml._utils._storage_utils import get_ds_name_and_path_prefix

    _, prefix = get_ds_name_and_path_prefix(model.path, models._registry_name)
    address, _ = get_storage_details_for_registry_assets(
        service_client=models._registry_service_client,
        asset_type="models",
        asset_name=model.name,
        asset_version=str(model.version),
        rg_name=models._resource_group_name,
        reg_name=models._registry_name,
        uri=model.path,
    )
    return RegistryFiles(str(address), str(prefix))


def workspace_files(models: Any, model: Any) -> tuple[Any, str]:
    """The azure-storage-blob container with a workspace model's files, and what their names begin with there.

    As models.download finds it, which would get all of them; on a datastore without credentials as oneself.
    """
    from azure.ai.ml._artifacts._artifact_utilities import get_datastore_info
    from azure.ai.ml._utils._storage_utils import get_ds_name_and_path_prefix, get_storage_client

    datastore, prefix = get_ds_name_and_path_prefix(model.path, None)
    storage = get_storage_client(**get_datastore_info(models._datastore_operation, datastore))
    return storage.container_client, str(prefix)


def credential_in_use(chain: Any) -> str:
    """Which credential of the chain gave the last token, such as `AzureCliCredential`; empty before one."""
    found = getattr(chain, "_successful_credential", None)
    return type(found).__name__ if found is not None else ""


def child_runs(jobs: Any, workspace: tuple[str, str, str], run: str) -> list[Any]:
    """The children of a run with their times; `workspace` is subscription, resource group and name."""
    return list(jobs._runs_operations._operation.get_child(*workspace, run))


def operation_address(poller: Any) -> str | None:
    """Where the operation that a poller follows says how far it is; None where the answer named no place.

    The SDK's poller asks there itself, and shows nobody when the operation has ended.
    """
    if poller is None:
        return None
    answer = getattr(poller.polling_method(), "_initial_response", None)
    address: str | None = answer.http_response.headers.get("Azure-AsyncOperation") if answer else None
    return address


def run_details(jobs: Any, run: str) -> Any:
    """A run's error and the addresses of its logs, which the SDK streams from and shows nobody."""
    return jobs._runs_operations.get_run_details(run)

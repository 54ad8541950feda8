"""The private parts of azure-ai-ml: each is where tasks/azure/private.py looks for it."""

from __future__ import annotations

import inspect
import logging
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from typing import Any

import pytest

from tasks.azure import clients, private
from tasks.azure.clients import Session
from tests.conftest import BASE
from tests.support import tiny_model
from tests.support.prefect_server import free_port

SEEN = ("1.35.2",)


def test_the_sdk_is_one_whose_private_parts_were_seen() -> None:
    assert version("azure-ai-ml") in SEEN, "run this file, then add the version"


def test_the_resource_manager_is_that_of_the_named_cloud(environment: dict[str, str]) -> None:
    assert private.resource_manager() == environment["AZUREML_LOCAL_URL"]


def test_a_cloud_is_asked_about_once(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever asks in this process, the SDK's own clients too."""
    from azure.ai.ml._azure_environments import _get_storage_endpoint_from_metadata

    manager, storage = private.resource_manager(), _get_storage_endpoint_from_metadata()
    monkeypatch.setenv("ARM_CLOUD_METADATA_URL", f"http://127.0.0.1:{free_port()}/metadata")
    assert private.resource_manager() == manager
    assert _get_storage_endpoint_from_metadata() == storage


def test_experimental_classes_are_made_in_silence_and_without_a_look_at_the_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from azure.ai.ml import _utils

    fresh = _fresh("azure.ai.ml._utils._experimental")  # in this process the SDK may be silent already
    monkeypatch.setattr(_utils, "_experimental", fresh)

    def make() -> None:
        fresh.experimental(type("NotFinal", (), {"__doc__": "Of the SDK."}))()

    make()
    assert "experimental class" in caplog.text
    caplog.clear()
    fresh._warning_cache.clear()
    private.look_at_no_stack()
    monkeypatch.setattr(inspect, "stack", lambda: pytest.fail("the stack is looked at"))
    make()
    assert caplog.text == ""


def test_a_pipelines_file_is_found_without_a_look_at_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.ai.ml.dsl import pipeline

    private.look_at_no_stack()
    monkeypatch.setattr(inspect, "stack", lambda *context: pytest.fail("the stack is looked at"))

    @pipeline(name="found")  # type: ignore[untyped-decorator]
    def graph() -> None:
        pass

    assert graph().component._source_path == __file__


def test_the_sdks_calls_leave_no_records(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    from azure.ai.ml._telemetry.logging_handler import AML_INTERNAL_LOGGER_NAMESPACE

    private.record_no_activity()
    before = list(logging.getLogger(AML_INTERNAL_LOGGER_NAMESPACE).handlers)
    tiny_model.workspace_client().workspaces.get("local")
    assert [record for record in caplog.records if "Activity" in record.message] == []
    after = logging.getLogger(AML_INTERNAL_LOGGER_NAMESPACE).handlers
    assert set(after) - {caplog.handler} == set(before) - {caplog.handler}


def _fresh(name: str) -> Any:
    """The module as it is before anybody has changed it."""
    spec = find_spec(name)
    assert spec
    assert spec.loader
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_credential_that_signs_in_is_named(environment: dict[str, str]) -> None:
    chain = clients.credential(False)
    chain.get_token(f"{private.resource_manager()}/.default")
    assert private.credential_in_use(chain) == "ManagedIdentityCredential"
    assert private.credential_in_use(object()) == ""


def test_a_models_properties_hold_what_the_sdk_drops(registry_client: Any, tiny: str) -> None:
    properties = private.model_properties(registry_client.models, BASE, "1")
    assert properties["isArchived"] is False
    assert "systemMetadata" in private.model_properties(registry_client.models, "Phi-4", "8")


def test_archived_versions_of_a_registry_can_be_listed(registry_client: Any) -> None:
    assert private.registry_versions(registry_client.models, "Phi-3-mini-4k-instruct") == ["15"]


def test_a_registry_models_files_can_be_listed(registry_client: Any, tiny: str) -> None:
    from azure.storage.blob import ContainerClient

    files = private.registry_files(registry_client.models, registry_client.models.get(BASE, "1"))
    with ContainerClient.from_container_url(files.container_url) as storage:
        names = [blob.name for blob in storage.list_blobs(name_starts_with=files.prefix)]
    assert any(name.endswith("MLmodel") for name in names)


def test_a_jobs_children_have_times_and_details(session: Session, ml_client: Any) -> None:
    from azure.ai.ml import command
    from azure.ai.ml.dsl import pipeline
    from azure.ai.ml.entities import AmlCompute

    cluster = AmlCompute(name="private-parts", size="Standard_DS3_v2", max_instances=1)
    ml_client.compute.begin_create_or_update(cluster).result()

    step = command(command="true", environment="azureml://registries/azureml/environments/any/versions/1")

    @pipeline(compute="private-parts")  # type: ignore[untyped-decorator]
    def one_step() -> None:
        step()

    job = ml_client.jobs.create_or_update(one_step(), experiment_name="private")
    ml_client.jobs.stream(job.name)
    where = (session.subscription_id, session.resource_group, session.workspace)
    (child,) = private.child_runs(ml_client.jobs, where, job.name)
    assert child.start_time_utc <= child.end_time_utc
    assert private.run_details(ml_client.jobs, child.run_id).log_files


def test_a_deletion_is_followed_where_its_answer_says(session: Session, ml_client: Any) -> None:
    from azure.ai.ml.entities import AmlCompute

    ml_client.compute.begin_create_or_update(AmlCompute(name="followed", size="Standard_DS3_v2")).result()
    address = private.operation_address(ml_client.compute.begin_delete("followed"))
    assert address is not None
    assert clients.follow(session, address)["startTime"]
    assert private.operation_address(None) is None
    with pytest.raises(ValueError, match="elsewhere.example is not the resource manager"):
        clients.follow(session, "https://elsewhere.example/operations/1")

"""Storage that takes no keys: its datastores, the jobs on it, and the run that looks before it submits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, command
from azure.ai.ml.entities import AmlCompute, IdentityConfiguration
from azure.core.exceptions import HttpResponseError

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Scenario
from azureml_local.state import access
from tasks import compute
from tasks.azure import storage
from tasks.azure.clients import Session
from tasks.azure.errors import cause_of_job
from tasks.azure.failure import Cause, Failure
from tasks.base_model import BaseModelVersion
from tasks.cluster_identity import check_found
from tasks.compute import find_compute
from tasks.core.lease import Lease
from tasks.sections.compute import Compute
from tasks.sign_in import Workspace, sign_in
from tests.support import tiny_model
from tests.support.any_model import ANY_MODEL
from tests.support.waiting import until

SIZE = "Standard_NC4as_T4_v3"
ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
LENT = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/identities"
    "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/finetune"
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyless")


@pytest.fixture(scope="module")
def keyless(state: Path) -> Iterator[Session]:
    """A session in a workspace whose storage takes no keys."""
    with (
        switch.joined(state, scenario=Scenario(storage="identity")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield sign_in.fn(Workspace())


@pytest.fixture(scope="module")
def client(keyless: Session) -> Any:
    return tiny_model.workspace_client()


@pytest.fixture
def base() -> BaseModelVersion:
    return ANY_MODEL


def cluster(client: Any, name: str, identity: IdentityConfiguration | None = None) -> Any:
    wanted = AmlCompute(name=name, size=SIZE, max_instances=1, identity=identity)
    return client.compute.begin_create_or_update(wanted).result()


def roles(state: Path, which: Any) -> None:
    address = Address.read(state)
    assert address is not None
    switch.ask(state, address, "/admin/permissions", {"roles": which})


def test_a_datastore_without_keys_has_no_secrets(client: Any) -> None:
    store = client.datastores.get("workspaceblobstore", include_secrets=False)
    assert str(store.credentials.type).casefold().endswith("none")
    with pytest.raises(HttpResponseError) as refused:
        client.datastores._operation.list_secrets("local", "local", "workspaceblobstore")
    assert refused.value.status_code == 400
    assert "No secrets for credentials of type None." in str(refused.value)


def test_the_flow_sees_which_way_the_storage_is(keyless: Session) -> None:
    assert not storage.takes_keys(keyless)


def test_the_flow_sees_that_another_storage_takes_keys(session: Session) -> None:
    assert storage.takes_keys(session)


@pytest.mark.slow
def test_a_step_runs_where_the_cluster_has_an_identity_and_fails_where_not(
    client: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("read")
    cluster(client, "bare")
    cluster(client, "trusted", IdentityConfiguration(type="system_assigned"))

    def ended(on: str) -> Any:
        job = command(
            command="grep read ${{inputs.data}}",
            inputs={"data": Input(type="uri_file", path=str(data))},  # uploaded with the client's own token
            environment=ENVIRONMENT,
            compute=on,
        )
        made = client.jobs.create_or_update(job)
        return until(lambda: (now := client.jobs.get(made.name)).status in ("Completed", "Failed") and now)

    assert ended("trusted").status == "Completed"
    failed = ended("bare")
    assert failed.status == "Failed"
    details = client.jobs._runs_operations.get_run_details(failed.name)
    words = details.error.error.message
    assert "ScriptExecution.StreamAccess.Authentication" in words
    assert cause_of_job(words) is Cause.STORAGE


def test_a_cluster_without_an_identity_is_refused_before_anything_is_submitted(
    keyless: Session, client: Any, base: BaseModelVersion, lease: Lease
) -> None:
    cluster(client, "bare-two")
    with pytest.raises(Failure) as refused:
        find_compute.fn(keyless, Compute(name="bare-two", size=SIZE), base, lease)
    assert refused.value.cause is Cause.STORAGE
    assert str(refused.value).startswith("The cluster 'bare-two' has no managed identity, and ")


def test_so_is_one_of_another_step(
    keyless: Session, client: Any, base: BaseModelVersion, lease: Lease
) -> None:
    cluster(client, "bare-three")
    wanted = Compute(name="trusted-two", size=SIZE, identity="system", preprocess="bare-three", keep=True)
    with pytest.raises(Failure, match="^The cluster 'bare-three' has no managed identity"):
        find_compute.fn(keyless, wanted, base, lease)


def test_a_new_cluster_needs_an_identity_to_be_named(
    keyless: Session, base: BaseModelVersion, lease: Lease
) -> None:
    with pytest.raises(Failure, match="^The workspace's storage takes no keys, so that a new cluster"):
        find_compute.fn(keyless, Compute(name="not-made", size=SIZE), base, lease)
    assert compute.find(keyless, "not-made") is None


def test_a_cluster_is_made_with_the_identity_of_the_recipe(
    keyless: Session, base: BaseModelVersion, lease: Lease
) -> None:
    find_compute.fn(keyless, Compute(name="own", size=SIZE, identity="system"), base, lease)
    own = compute.find(keyless, "own").identity
    assert (own.type, bool(own.principal_id)) == ("system_assigned", True)
    find_compute.fn(keyless, Compute(name="lent", size=SIZE, identity=LENT), base, lease)
    lent = compute.find(keyless, "lent").identity
    assert [each.resource_id for each in lent.user_assigned_identities] == [LENT]


def test_lending_an_identity_takes_a_role_on_it(
    keyless: Session, state: Path, base: BaseModelVersion, lease: Lease
) -> None:
    roles(state, access.LEAST_PRIVILEGE)
    try:
        with pytest.raises(Failure) as refused:
            find_compute.fn(keyless, Compute(name="not-lent", size=SIZE, identity=LENT), base, lease)
    finally:
        roles(state, access.OWNER)
    failure = refused.value
    assert failure.cause is Cause.PERMISSION
    action = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    assert failure.what == f"The signed-in identity may not perform {action} on {LENT}."


def test_with_keys_no_cluster_needs_an_identity(session: Session, ml_client: Any) -> None:
    bare = cluster(ml_client, "bare-with-keys")
    check_found(session, bare)

"""Other people's things, written into the state before anybody asks: jobs, endpoints, compute instances.

They are documents like all others, made in one transaction, and once: a workspace that has them is left as it
is. Nothing executes them: a job that is said to run is on somebody else's node, until it is cancelled.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from azureml_local.execution.workspace import Workspace
from azureml_local.state import sizes
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import COMPUTE_INSTANCES, DEPLOYMENTS, ENDPOINTS, JOBS, SEEDS
from azureml_local.state.endpoint_documents import DeploymentDocument, EndpointDocument, Envelope
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.job_states import JobState
from azureml_local.state.store import Store
from azureml_local.wire import deployment_request, endpoint_request
from azureml_local.wire.seed_file import Seed

_OLDEST = timedelta(days=900)
_RECENT = timedelta(hours=5)
_WHO = "somebody else"
_OLD_JOB: Json = {
    "jobType": "Command",
    "command": "python train.py",
    "environmentId": "azureml://registries/azureml/environments/any/versions/1",
    "experimentName": "old",
}
_ENDS = (JobState.COMPLETED, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED)


def plant(workspace: Workspace, seed: Seed) -> None:
    """Write the seed's documents, unless the workspace has them."""
    store = workspace.store
    with store.transaction():
        if store.get(SEEDS, seed.origin) is not None:
            return
        _jobs(workspace, seed)
        for endpoint in seed.endpoints:
            _endpoint(workspace, endpoint)
        for instance in seed.compute_instances:
            store.put(COMPUTE_INSTANCES, instance["name"], _compute_instance(workspace, instance))
        store.put(SEEDS, seed.origin, {})


def _jobs(workspace: Workspace, seed: Seed) -> None:
    now = workspace.clock.now()
    for number in range(seed.old_jobs):
        created = now - _OLDEST + (_OLDEST - timedelta(days=1)) * (number / seed.old_jobs)
        _job(workspace, f"old-job-{number:06d}", _OLD_JOB, _ENDS[number % len(_ENDS)], created)
    for job in seed.jobs:
        given = {**_filled(workspace, job.get("properties") or {}), "tags": job.get("tags") or {}}
        _job(workspace, job["name"], given, JobState(job.get("status", "Completed")), now - _RECENT)


def _job(workspace: Workspace, name: str, given: Json, status: JobState, created: datetime) -> None:
    common = {"experimentName": "others", "displayName": name, "tags": {}, "properties": {}, "outputs": {}}
    shown: Any = {**common, **given, "status": status}
    started = None if status is JobState.QUEUED else iso(created + timedelta(minutes=6))
    document: JobDocument = {
        "name": name,
        "root": name,
        "parent": None,
        "step": "",
        "children": [],
        "number": workspace.jobs.records.next_number(),
        "request": given,
        "seed": "",
        "properties": shown,
        "created": iso(created),
        "started": started,
        "ended": iso(created + timedelta(hours=1)) if status.is_final else None,
        "error": None,
        "cancel": False,
        "hidden": False,
        "leases": [],
        "foreign": True,
    }
    workspace.store.put(JOBS, name, document)


def _endpoint(workspace: Workspace, given: Json) -> None:
    name, deployments = given["name"], given.get("deployments") or []
    names = {each["name"] for each in deployments}
    wanted = {"authMode": "Key", "traffic": {each["name"]: 100 for each in deployments[:1]}}
    settings = endpoint_request.settings(wanted, None, names)
    document: EndpointDocument = {
        "name": name,
        "kind": "Managed",
        "keys": endpoint_request.initial_keys({}),
        "properties": {**settings, "provisioningState": given.get("state", "Succeeded")},
        **_beside(workspace, given),
    }
    workspace.store.put(ENDPOINTS, name, document)
    for each in deployments:
        _deployment(workspace.store, name, each, _beside(workspace, each))


def _deployment(store: Store, endpoint: str, given: Json, beside: Envelope) -> None:
    asked = {"instanceType": given["instance_type"], "model": f"azureml:{endpoint}:1"}
    settings = deployment_request.settings(asked)
    document: DeploymentDocument = {
        "name": given["name"],
        "endpoint": endpoint,
        "kind": "Managed",
        "sku": {"name": "Default", "tier": "Standard", "capacity": given.get("count", 1)},
        "properties": {**settings, "provisioningState": given.get("state", "Succeeded")},
        "serving": None,
        "starting": None,
        **beside,
    }
    store.put(DEPLOYMENTS, f"{endpoint}/{given['name']}", document)


def _beside(workspace: Workspace, given: Json) -> Envelope:
    """What stands beside the properties of an endpoint and of a deployment."""
    created = iso(workspace.clock.now() - _RECENT)
    return {
        "tags": given.get("tags") or {},
        "location": workspace.settings.location,
        "systemData": {"createdAt": created, "createdBy": _WHO, "lastModifiedAt": created},
    }


def _compute_instance(workspace: Workspace, given: Json) -> Json:
    """As Resource Manager shows it (documented: OpenAPI 2024-04-01, ComputeInstance)."""
    created = iso(workspace.clock.now() - _RECENT)
    return {
        "location": workspace.settings.location,
        "tags": given.get("tags") or {},
        "properties": {
            "computeType": "ComputeInstance",
            "computeLocation": workspace.settings.location,
            "description": None,
            "createdOn": created,
            "modifiedOn": created,
            "provisioningState": "Succeeded",
            "isAttachedCompute": False,
            "disableLocalAuth": False,
            "properties": {
                "vmSize": sizes.lookup(given["size"]).name.upper(),
                "state": given.get("state", "Running"),
                "applicationSharingPolicy": "Personal",
                "applications": [],
                "createdBy": {"userName": _WHO},
                "errors": [],
            },
        },
    }


def _filled(workspace: Workspace, value: Any) -> Any:
    """The value with this workspace's id for `{workspace}`."""
    if isinstance(value, str):
        return value.replace("{workspace}", workspace.settings.workspace_arm_id)
    if isinstance(value, list):
        return [_filled(workspace, each) for each in value]
    if isinstance(value, dict):
        return {key: _filled(workspace, each) for key, each in value.items()}
    return value

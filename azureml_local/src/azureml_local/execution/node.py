"""The environment that a job's process finds on its node."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from azureml_local.execution.inherited import direct, inherited
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.job_documents import experiment as experiment_of
from azureml_local.state.workspace import WorkspaceState

_TOKEN_LIFETIME = 30 * 86400  # seconds; a job's token must outlive the job


def environment(
    state: WorkspaceState, job: JobDocument, checkpoints: Path, python: Path | None
) -> dict[str, str]:
    """The variables that Azure ML sets on a node, and this server's certificate and Python.

    MLflow logs to the job's run without further setup. AZUREML_LOCAL_CHECKPOINTS names a directory that
    the next run of the same step finds again, until one completes. `python` is the folder of the executables
    of an environment of the step's own.
    """
    settings, experiment = state.settings, experiment_of(job)
    token, _ = state.tokens.issue(settings.base_url, _TOKEN_LIFETIME, run=job["name"])
    bundle = str(settings.bundle_path)
    passed = inherited()
    if python is not None:
        passed["VIRTUAL_ENV"] = str(python.parent)
    reached = direct(passed)
    return {
        **passed,
        "PATH": f"{python or Path(sys.executable).parent}{os.pathsep}{passed.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",  # so that the log can be followed
        "NO_PROXY": reached,
        "no_proxy": reached,
        "REQUESTS_CA_BUNDLE": str(settings.authorities_path),
        "SSL_CERT_FILE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "ARM_CLOUD_METADATA_URL": f"{settings.base_url}/metadata/endpoints",
        "AZUREML_CURRENT_CLOUD": settings.cloud,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(settings.authorities_path),
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_RUN_ID": job["name"],
        "AZUREML_RUN_ID": job["name"],
        "AZUREML_ROOT_RUN_ID": job["root"],
        "AZUREML_ARM_SUBSCRIPTION": settings.subscription_id,
        "AZUREML_ARM_RESOURCEGROUP": settings.resource_group,
        "AZUREML_ARM_WORKSPACE_NAME": settings.workspace,
        "AZUREML_ARM_PROJECT_NAME": experiment,
        "AZUREML_LOCAL_URL": settings.base_url,
        "AZUREML_LOCAL_CHECKPOINTS": str(checkpoints),
    }


def named(
    inputs: Mapping[str, str | Path], outputs: Mapping[str, str | Path], *, data: Collection[str]
) -> dict[str, str]:
    """The variables that name a step's inputs and outputs; `data` are the inputs that are not values.

    AZURE_ML_INPUT_: seen in a run's definition (hi-ml #756); AZURE_ML_OUTPUT_ in azure-sdk-for-python #30755.
    AZUREML_PARAMETER_: documented of azure-ai-ml's CommandJob, for inputs, outputs and values alike.
    """
    variables = {f"AZURE_ML_INPUT_{name}": str(inputs[name]) for name in data}
    variables |= {f"AZURE_ML_OUTPUT_{name}": str(value) for name, value in outputs.items()}
    variables |= {f"AZUREML_PARAMETER_{name}": str(v) for name, v in {**outputs, **inputs}.items()}
    return variables

"""The environment that a job's process finds on its node."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azureml_local.state.documents import JobDocument
from azureml_local.state.documents import experiment as experiment_of
from azureml_local.state.workspace import WorkspaceState

_TOKEN_LIFETIME = 30 * 86400  # seconds; a job's token must outlive the job
# What a node gets of the server's own environment. It stands for a machine of its own, which knows nothing of
# the user's credentials and clients.
_PASSED = ("PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_PASSED_PREFIXES = (
    "LC_", "XDG_", "HF_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "CUDA_", "NVIDIA_", "AZUREML_LOCAL_",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


def environment(state: WorkspaceState, job: JobDocument, checkpoints: Path) -> dict[str, str]:
    """The variables that Azure ML sets on a node, and this server's certificate and Python.

    MLflow logs to the job's run without further setup. AZUREML_LOCAL_CHECKPOINTS names a directory that
    the next run of the same step finds again, until one completes.
    """
    settings, experiment = state.settings, experiment_of(job)
    token, _ = state.tokens.issue(settings.base_url, _TOKEN_LIFETIME, run=job["name"])
    bundle = str(settings.bundle_path)
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    python, direct = Path(sys.executable).parent, _direct(passed)
    return {
        **passed,
        "PATH": f"{python}{os.pathsep}{passed.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",  # so that the log can be followed
        "NO_PROXY": direct,
        "no_proxy": direct,
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


def _direct(passed: dict[str, str]) -> str:
    """NO_PROXY with this machine in it."""
    return ",".join(
        filter(None, (passed.get("NO_PROXY") or passed.get("no_proxy"), "localhost", "127.0.0.1"))
    )

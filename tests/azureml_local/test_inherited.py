"""What jobs and deployments get of the environment of the one who runs the workspace."""

from __future__ import annotations

from azureml_local.execution.inherited import inherited


def test_what_says_where_things_lie_is_passed_on_and_no_secret() -> None:
    passed = {
        "PATH": "/bin",
        "HF_HOME": "/cache",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C",
        "AZUREML_LOCAL_MODELS": "models.yaml",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
    }
    withheld = {
        "HF_TOKEN": "x",
        "HF_HUB_TOKEN": "x",
        "HTTPS_PROXY_PASSWORD": "x",
        "HTTPS_PROXY": "http://user:word@proxy:3128",
        "http_proxy": "user:word@proxy:3128",
        "XDG_SESSION_TOKEN": "x",
        "AZURE_CLIENT_SECRET": "x",
        "PREFECT_API_KEY": "x",
        "AWS_ACCESS_KEY_ID": "x",
        "PYTHONPATH": "/mine",
    }
    assert inherited({**passed, **withheld}) == passed

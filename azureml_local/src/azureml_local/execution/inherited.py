"""What processes of jobs and deployments get of the server's own environment.

They stand for machines of their own, which know nothing of the user's credentials and clients.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_PASSED = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "SHELL",
        "LANG",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
        "HF_DATASETS_CACHE",
        "HF_DATASETS_OFFLINE",
        "HF_XET_CACHE",
    ]
)
_PASSED_PREFIXES = ("LC_", "XDG_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "CUDA_", "NVIDIA_", "AZUREML_LOCAL_")
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY$", re.IGNORECASE)


def inherited(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that are passed on: those that say where things lie and how fast to compute.

    A proxy with a password in its address is no such variable, nor is one that is named like a secret.
    """
    variables = os.environ if given is None else given
    return {name: value for name, value in variables.items() if _is_passed(name, value)}


def direct(passed: Mapping[str, str]) -> str:
    """NO_PROXY with this machine in it."""
    return ",".join(
        filter(None, (passed.get("NO_PROXY") or passed.get("no_proxy"), "localhost", "127.0.0.1"))
    )


def _is_passed(name: str, value: str) -> bool:
    if name.upper() in _PROXIES:
        return "@" not in urlsplit(value if "//" in value else f"//{value}").netloc
    if _SECRET.search(name):
        return False
    return name in _PASSED or name.startswith(_PASSED_PREFIXES)

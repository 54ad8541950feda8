"""A local Azure Machine Learning workspace that the unmodified Azure SDKs talk to.

These names are what a test suite needs; everything else may change with any version:

    with azureml_local.serve() as workspace:
        ...  # azure-ai-ml, azure-identity and mlflow as ever: the environment leads them there

Each is imported when it is first asked for: importing the package itself costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azureml_local.served import LocalWorkspace, serve
    from azureml_local.server import Address, CannotServe
    from azureml_local.settings import Scenario, Settings
    from azureml_local.switch import ask, default_state, environment, joined

    __version__: str

if sys.platform == "win32":
    raise ImportError("azureml-local does not run on Windows itself: use it in WSL 2.", name=__name__)

__all__ = [
    "Address",
    "CannotServe",
    "LocalWorkspace",
    "Scenario",
    "Settings",
    "Stay",
    "__version__",
    "ask",
    "default_state",
    "environment",
    "joined",
    "serve",
]

_HOMES = {
    "Address": "server",
    "CannotServe": "server",
    "LocalWorkspace": "served",
    "Scenario": "settings",
    "Settings": "settings",
    "Stay": "state.stay",
    "ask": "switch",
    "default_state": "switch",
    "environment": "switch",
    "joined": "switch",
    "serve": "served",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("azureml-local")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

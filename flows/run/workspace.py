"""The one switch between this machine and Azure: which environment the SDKs are started in."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from tasks.azure.failure import Cause, Failure
from tasks.azure.redaction import keep_environment_out
from tasks.core import imports
from tasks.core.lease import EXPIRES, KEPT

if TYPE_CHECKING:
    from tasks.azure.credentials import AzureSignIn

# Half of a run's processor time before its first stage; they read no variable that leads to a workspace.
_SLOW = ("azure.ai.ml", "azure.ai.ml.entities", "mlflow")
# These are imported once the environment is set, which azureml-mlflow reads.
_SDKS = ("azure.identity", "azureml.mlflow")


@contextmanager
def opened(where: Literal["local", "azure"], credentials: AzureSignIn | None = None) -> Iterator[None]:
    """While the block runs, SDK clients reach the workspace; a local one is started when none runs.

    A local one that was started stays after the block for as long as an endpoint is kept in it.

    Credentials go into the environment, as not all of the SDKs take them in another way.
    """
    if where == "azure":
        with _environment(credentials.environment() if credentials else {}):
            _import((*_SLOW, *_SDKS))
            yield
        return
    try:
        from azureml_local import switch
        from azureml_local.server import CannotServe
    except ImportError as error:
        is_missing = isinstance(error, ModuleNotFoundError)
        raise Failure(
            f"The local workspace is not installed ({error.name} is missing)." if is_missing else str(error),
            "Install it: uv sync --extra local. Or set workspace.where to azure.",
            cause=Cause.CONFIGURATION,
        ) from error
    try:
        with (
            switch.joined(
                stay=switch.Stay(marked=KEPT, until=EXPIRES), meanwhile=lambda: _import(_SLOW)
            ) as variables,
            _environment(variables),
        ):
            _import((*_SLOW, *_SDKS))
            yield
    except CannotServe as error:
        raise Failure("The local workspace does not start.", str(error), cause=Cause.CONFIGURATION) from error


def _import(modules: Iterable[str]) -> None:
    """Import what every run needs in one thread.

    The SDK would import some of it only at its first call: in the midst of a run, beside other threads.
    """
    with imports.uncollected():
        for module in modules:
            importlib.import_module(module)


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set the variables while the block runs; None stands for one that must not be there."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    keep_environment_out()
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

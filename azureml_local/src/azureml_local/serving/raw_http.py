"""What a scoring script imports to see a request as it came, and to answer whatever bytes it likes.

Azure's inference server (azureml-inference-server-http 1.5) puts its own modules in the place of the package
azureml.contrib.services, so that they are there in every container; here they are this module.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

import flask

_PACKAGES = ("azureml.contrib.services", "azureml_inference_server_http.api")
_F = TypeVar("_F", bound=Callable[..., Any])
_wanted: list[Callable[..., Any]] = []


class AMLRequest(flask.Request):
    """The request that a script's run() is given."""


class AMLResponse(flask.Response):
    """An answer that is sent as it is: bytes, text, or with `json_str` anything that JSON holds."""

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        is_json = json_str or message is None
        body = json.dumps({} if message is None else message) if is_json else message
        super().__init__(body, status_code, mimetype="application/json" if is_json else None)
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, value in (response_headers or {}).items():
            self.headers[name] = value


def rawhttp(run: _F) -> _F:
    """Marks a script's run() as one that takes the request itself."""
    _wanted.append(run)
    return run


def is_wanted() -> bool:
    """Whether the script that was loaded has marked its run()."""
    return bool(_wanted)


def offer() -> None:
    """Let the script that is loaded next import it under the names that it has on Azure."""
    _wanted.clear()
    for package in _PACKAGES:
        above = ""
        for part in package.split("."):
            name = f"{above}.{part}" if above else part
            _package(name, above)
            above = name
        for module, names in (("aml_request", ("AMLRequest", "rawhttp")), ("aml_response", ("AMLResponse",))):
            found = ModuleType(f"{package}.{module}")
            vars(found).update({name: globals()[name] for name in names})
            sys.modules[found.__name__] = found
            setattr(sys.modules[package], module, found)


def _package(name: str, above: str) -> None:
    """The package of that name, an empty one where none is installed."""
    try:
        __import__(name)
    except ImportError:
        empty = ModuleType(name)
        empty.__path__ = []
        sys.modules[name] = empty
        if above:
            setattr(sys.modules[above], name.rpartition(".")[2], empty)

"""How a scoring script's run() wants a request, told by its signature and decorators.

As azureml-inference-server-http 1.5 does (server/user_script.py, server/input_parsers.py): run() is given the
body as text, under whatever name its first parameter has; with a schema of the package inference-schema the
body's fields by name; with @rawhttp the request itself. It may ask for `request_headers` besides.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

import flask

from azureml_local.serving import raw_http

_HEADERS = "request_headers"


class BadInput(Exception):
    """The request is not one that run() can be given; `status` is what the client is answered."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ScriptInput:
    """Reads requests for one run() function; raises TypeError for one that takes none."""

    def __init__(self, run: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(run).parameters.values())
        self._takes_headers = any(parameter.name == _HEADERS for parameter in parameters)
        self._parameters = [parameter for parameter in parameters if parameter.name != _HEADERS]
        if not self._parameters:
            raise TypeError("run() needs a parameter for the request's data")
        self._is_raw = raw_http.is_wanted()
        self._has_schema = _has_schema(run)

    def arguments(self, request: flask.Request) -> dict[str, Any]:
        """The keyword arguments of run(); raises BadInput."""
        found = self._data(request)
        return {**found, _HEADERS: dict(request.headers)} if self._takes_headers else found

    def _data(self, request: flask.Request) -> dict[str, Any]:
        name = self._parameters[0].name
        if self._is_raw:
            return {name: request}
        if request.method not in ("GET", "POST"):
            raise BadInput(f"the method {request.method} is not allowed", 405)
        asked = _query(request) if request.method == "GET" else None
        if self._has_schema:
            return self._by_name(_object(request) if asked is None else asked)
        if asked is not None:
            return {name: json.dumps(asked)}
        try:
            return {name: request.get_data().decode()}
        except UnicodeDecodeError:
            raise BadInput("the request body is not UTF-8 text") from None

    def _by_name(self, given: dict[str, Any]) -> dict[str, Any]:
        values = {each.name: given.get(each.name, each.default) for each in self._parameters}
        for name, value in values.items():
            if value is inspect.Parameter.empty:
                raise BadInput(f"the request has no value for the parameter '{name}'")
        return values


def _has_schema(run: Callable[..., Any]) -> bool:
    """Whether run() is decorated by inference-schema, which only a script that uses it has imported."""
    module = sys.modules.get("inference_schema.schema_util")
    return module is not None and bool(module.is_schema_decorated(run))


def _object(request: flask.Request) -> dict[str, Any]:
    if not request.is_json:
        raise BadInput("the Content-Type must be application/json", 415)
    try:
        given = json.loads(request.get_data())
    except ValueError as error:
        raise BadInput(f"the request body is not valid JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadInput("the request body must be a JSON object, with a field for each parameter of run()")
    return given


def _query(request: flask.Request) -> dict[str, Any]:
    """The query's values, each read as JSON where it is; a list where a name occurs more than once."""
    read = {name: [_value(text) for text in texts] for name, texts in request.args.lists()}
    return {name: values[0] if len(values) == 1 else values for name, values in read.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

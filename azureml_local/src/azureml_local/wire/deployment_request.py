"""The body of a request to create or change a deployment, checked, with the service's defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping

from azureml_local.execution import duration
from azureml_local.state import sizes
from azureml_local.state.document import Json
from azureml_local.state.endpoint_documents import (
    CodeSettings,
    DeploymentSettings,
    ProbeSettings,
    RequestSettings,
)
from azureml_local.wire.fields import record, refused, text, texts

_MAX_INSTANCES = 50
_MAX_REQUEST_TIMEOUT = 180.0  # seconds, for managed endpoints
_MAX_PROBE_TIMEOUT = 300.0

_PROBE = {
    "failureThreshold": 30,
    "successThreshold": 1,
    "timeout": "PT2S",
    "period": "PT10S",
    "initialDelay": "PT10S",
}
# Seen in 2025: what the service fills in where a request says nothing.
_REQUESTS = {"maxQueueWait": "PT0S", "requestTimeout": "PT5S", "maxConcurrentRequestsPerInstance": 1}


def settings(given: Json) -> DeploymentSettings:
    """A deployment's properties with every default filled in; raises BadRequest for what is not allowed."""
    if str(given.get("endpointComputeType", "Managed")).casefold() != "managed":
        raise refused("endpointComputeType", "only managed endpoints are served; leave Kubernetes out")
    return {
        "description": text(given, "description"),
        "properties": texts(given, "properties"),
        "codeConfiguration": _code(given),
        "environmentId": text(given, "environmentId"),
        "environmentVariables": texts(given, "environmentVariables"),
        "scaleSettings": record(given, "scaleSettings") or {"scaleType": "Default"},
        "requestSettings": _requests(given),
        "modelMountPath": text(given, "modelMountPath"),
        "appInsightsEnabled": bool(given.get("appInsightsEnabled", False)),
        "livenessProbe": _probe(given, "livenessProbe"),
        "readinessProbe": _probe(given, "readinessProbe"),
        "instanceType": _instance_type(given),
        "model": _model(given),
        "egressPublicNetworkAccess": text(given, "egressPublicNetworkAccess") or "Enabled",
        "dataCollector": record(given, "dataCollector"),
        "endpointComputeType": "Managed",
    }


def capacity(sku: object, default: int = 1) -> int:
    """The number of instances a sku asks for; raises BadRequest."""
    count = sku.get("capacity") if isinstance(sku, dict) else None
    if count is None:
        return default
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_INSTANCES:
        raise refused("sku.capacity", f"the number of instances must be from 1 to {_MAX_INSTANCES}")
    return count


def _instance_type(given: Json) -> str:
    name = text(given, "instanceType")
    if not name:
        raise refused("instanceType", "a managed deployment needs an instance type")
    size = sizes.lookup(name)
    if "MIR" not in size.compute_types:
        raise refused(
            "instanceType",
            f"the size {size.name} cannot serve a managed online endpoint: choose one whose "
            "supportedComputeTypes hold MIR",
        )
    return name


def _model(given: Json) -> str | None:
    model = text(given, "model")
    if model is None and _code(given) is None:
        raise refused(
            "model", "a deployment needs an MLflow model, or a codeConfiguration with a scoring script"
        )
    if _code(given) is not None and text(given, "environmentId") is None:
        raise refused("environmentId", "a deployment with a scoring script needs an environment")
    return model


def _code(given: Json) -> CodeSettings | None:
    code = given.get("codeConfiguration")
    if code is None:
        return None
    if not isinstance(code, dict) or not isinstance(code.get("scoringScript"), str):
        raise refused("codeConfiguration", "it needs a codeId and a scoringScript")
    if not isinstance(code.get("codeId"), str):
        raise refused("codeConfiguration.codeId", "it must be the id of a code asset")
    return {"codeId": code["codeId"], "scoringScript": code["scoringScript"]}


def _requests(given: Json) -> RequestSettings:
    where = "requestSettings"
    asked = _merged(given, where, _REQUESTS)
    settings: RequestSettings = {
        "maxQueueWait": _duration(asked, where, "maxQueueWait"),
        "requestTimeout": _duration(asked, where, "requestTimeout"),
        "maxConcurrentRequestsPerInstance": _count(asked, where, "maxConcurrentRequestsPerInstance"),
    }
    if not 0 < _seconds(settings["requestTimeout"]) <= _MAX_REQUEST_TIMEOUT:
        raise refused(
            "requestSettings.requestTimeout",
            f"request_timeout_ms must be above 0 and at most {_MAX_REQUEST_TIMEOUT * 1000:.0f}",
        )
    return settings


def _probe(given: Json, where: str) -> ProbeSettings:
    asked = _merged(given, where, _PROBE)
    settings: ProbeSettings = {
        "failureThreshold": _count(asked, where, "failureThreshold"),
        "successThreshold": _count(asked, where, "successThreshold"),
        "timeout": _duration(asked, where, "timeout"),
        "period": _duration(asked, where, "period"),
        "initialDelay": _duration(asked, where, "initialDelay"),
    }
    for name, value in (("timeout", settings["timeout"]), ("period", settings["period"])):
        if _seconds(value) <= 0:
            raise refused(f"{where}.{name}", "it must be above 0")
    if _seconds(settings["timeout"]) >= _MAX_PROBE_TIMEOUT:
        raise refused(f"{where}.timeout", f"it must be below {_MAX_PROBE_TIMEOUT:.0f} seconds")
    return settings


def _merged(given: Json, name: str, defaults: Mapping[str, object]) -> Json:
    value = record(given, name) or {}
    return {key: default if value.get(key) is None else value[key] for key, default in defaults.items()}


def _duration(settings: Json, where: str, name: str) -> str:
    value = settings[name]
    if not isinstance(value, str):
        raise refused(f"{where}.{name}", "it must be a duration such as PT10S")
    _seconds(value)
    return value


def _seconds(value: str) -> float:
    return duration.seconds(value) or 0.0


def _count(settings: Json, where: str, name: str) -> int:
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
        raise refused(f"{where}.{name}", "it must be a whole number of 1 or more")
    return value

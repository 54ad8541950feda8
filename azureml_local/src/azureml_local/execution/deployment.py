"""What a managed online deployment asks for: checked, with the service's defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.execution import duration
from azureml_local.fields import record, refused, text, texts
from azureml_local.state import sizes
from azureml_local.state.sizes import Size
from azureml_local.state.store import Document

# Azure's rule for the names of endpoints and deployments; the length is checked apart.
_NAME = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
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
_REQUESTS = {"maxQueueWait": "PT0.5S", "requestTimeout": "PT5S", "maxConcurrentRequestsPerInstance": 1}


@dataclass(frozen=True)
class Probe:
    """How long a container may fail before it counts as dead or not ready; times in seconds."""

    initial_delay: float
    period: float
    timeout: float
    failure_threshold: int

    @property
    def patience(self) -> float:
        """Seconds after the start until the last failure that is allowed."""
        return self.initial_delay + self.period * self.failure_threshold


@dataclass(frozen=True)
class Deployment:
    """One deployment's settings. `name` is `ENDPOINT/DEPLOYMENT`; `timeout` is in seconds."""

    name: str
    model: str | None
    code: str | None
    script: str | None
    environment_variables: Mapping[str, str]
    size: Size
    instances: int
    concurrency: int
    timeout: float
    liveness: Probe
    readiness: Probe

    @classmethod
    def of(cls, name: str, document: Document) -> Deployment:
        """The settings in a stored document, whose properties `complete` has checked."""
        properties, code = document["properties"], document["properties"]["codeConfiguration"] or {}
        return cls(
            name=name,
            model=properties["model"],
            code=code.get("codeId"),
            script=code.get("scoringScript"),
            environment_variables=properties["environmentVariables"],
            size=sizes.lookup(properties["instanceType"]),
            instances=document["sku"]["capacity"],
            concurrency=properties["requestSettings"]["maxConcurrentRequestsPerInstance"],
            timeout=duration.seconds(properties["requestSettings"]["requestTimeout"]) or 0.0,
            liveness=_probe(properties["livenessProbe"]),
            readiness=_probe(properties["readinessProbe"]),
        )


def check_name(name: str, what: str) -> None:
    """Raise BadRequest unless the name of an endpoint or a deployment is legal."""
    if not 3 <= len(name) <= 32 or not _NAME.fullmatch(name):
        raise BadRequest(
            f"The {what} name {name!r} is not valid: 3 to 32 letters, digits and hyphens, beginning with a "
            "letter and not ending with a hyphen.",
            code="BadArgument",
            target="name",
        )


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
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
        "livenessProbe": _probe_settings(given, "livenessProbe"),
        "readinessProbe": _probe_settings(given, "readinessProbe"),
        "instanceType": _instance_type(given),
        "model": _model(given),
        "egressPublicNetworkAccess": text(given, "egressPublicNetworkAccess") or "Enabled",
        "dataCollector": record(given, "dataCollector"),
        "endpointComputeType": "Managed",
    }


def capacity(sku: Any, default: int = 1) -> int:
    """The number of instances a sku asks for; raises BadRequest."""
    count = sku.get("capacity") if isinstance(sku, dict) else None
    if count is None:
        return default
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_INSTANCES:
        raise refused("sku.capacity", f"the number of instances must be from 1 to {_MAX_INSTANCES}")
    return count


def _instance_type(given: Mapping[str, Any]) -> str:
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


def _model(given: Mapping[str, Any]) -> str | None:
    model = text(given, "model")
    if model is None and _code(given) is None:
        raise refused(
            "model", "a deployment needs an MLflow model, or a codeConfiguration with a scoring script"
        )
    if _code(given) is not None and text(given, "environmentId") is None:
        raise refused("environmentId", "a deployment with a scoring script needs an environment")
    return model


def _code(given: Mapping[str, Any]) -> dict[str, Any] | None:
    code = given.get("codeConfiguration")
    if code is None:
        return None
    if not isinstance(code, dict) or not isinstance(code.get("scoringScript"), str):
        raise refused("codeConfiguration", "it needs a codeId and a scoringScript")
    if not isinstance(code.get("codeId"), str):
        raise refused("codeConfiguration.codeId", "it must be the id of a code asset")
    return {"codeId": code["codeId"], "scoringScript": code["scoringScript"]}


def _requests(given: Mapping[str, Any]) -> dict[str, Any]:
    settings = _merged(given, "requestSettings", _REQUESTS)
    timeout = _seconds(settings, "requestSettings", "requestTimeout")
    if not 0 < timeout <= _MAX_REQUEST_TIMEOUT:
        raise refused(
            "requestSettings.requestTimeout",
            f"request_timeout_ms must be above 0 and at most {_MAX_REQUEST_TIMEOUT * 1000:.0f}",
        )
    _seconds(settings, "requestSettings", "maxQueueWait")
    _count(settings, "requestSettings", "maxConcurrentRequestsPerInstance")
    return settings


def _probe_settings(given: Mapping[str, Any], which: str) -> dict[str, Any]:
    settings = _merged(given, which, _PROBE)
    for name in ("failureThreshold", "successThreshold"):
        _count(settings, which, name)
    _seconds(settings, which, "initialDelay")
    for name in ("timeout", "period"):
        if _seconds(settings, which, name) <= 0:
            raise refused(f"{which}.{name}", "it must be above 0")
    if _seconds(settings, which, "timeout") >= _MAX_PROBE_TIMEOUT:
        raise refused(f"{which}.timeout", f"it must be below {_MAX_PROBE_TIMEOUT:.0f} seconds")
    return settings


def _probe(settings: Mapping[str, Any]) -> Probe:
    return Probe(
        initial_delay=duration.seconds(settings["initialDelay"]) or 0.0,
        period=duration.seconds(settings["period"]) or 0.0,
        timeout=duration.seconds(settings["timeout"]) or 0.0,
        failure_threshold=settings["failureThreshold"],
    )


def _merged(given: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    value = record(given, name) or {}
    return {key: default if value.get(key) is None else value[key] for key, default in defaults.items()}


def _seconds(settings: Mapping[str, Any], where: str, name: str) -> float:
    value = settings[name]
    if not isinstance(value, str):
        raise refused(f"{where}.{name}", "it must be a duration such as PT10S")
    return duration.seconds(value) or 0.0


def _count(settings: Mapping[str, Any], where: str, name: str) -> None:
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
        raise refused(f"{where}.{name}", "it must be a whole number of 1 or more")

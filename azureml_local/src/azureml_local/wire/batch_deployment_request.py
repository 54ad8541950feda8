"""The body of a request to create or change a batch deployment, checked, with the defaults filled in.

Recorded in 2023: tries, their time-out, sizes, output and logging level of a model's deployment; words come
back in the case of the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping

from azureml_local.execution import duration
from azureml_local.state.batch_documents import BatchDeploymentSettings, BatchRetrySettings
from azureml_local.state.document import Json
from azureml_local.state.endpoint_documents import CodeSettings
from azureml_local.wire.fields import record, refused, text, texts

COMPONENT = "PipelineComponent"

_ACTIONS = ("AppendRow", "SummaryOnly")
_LEVELS = ("Info", "Warning", "Debug")
_TYPES = ("Model", COMPONENT)
_MOST = 2**31 - 1


def settings(given: Json) -> BatchDeploymentSettings:
    """A batch deployment's properties with every default filled in; raises BadRequest."""
    configuration = _configuration(given)
    return {
        "description": text(given, "description"),
        "properties": texts(given, "properties"),
        "codeConfiguration": code(given),
        "environmentId": text(given, "environmentId"),
        "environmentVariables": texts(given, "environmentVariables"),
        "compute": text(given, "compute"),
        "deploymentConfiguration": configuration,
        "errorThreshold": number(given, "errorThreshold", -1, least=-1),
        "loggingLevel": _word(given, "loggingLevel", _LEVELS),
        "maxConcurrencyPerInstance": number(given, "maxConcurrencyPerInstance", 1),
        "miniBatchSize": number(given, "miniBatchSize", 10),
        "model": _reference(given, "model"),
        "outputAction": _word(given, "outputAction", _ACTIONS),
        "outputFileName": file_name(given) or "predictions.csv",
        "resources": _resources(given),
        "retrySettings": retries(given, {"maxRetries": 3, "timeout": "PT30S"}),
    }


def number(given: Mapping[str, object], name: str, usual: int, *, least: int = 1) -> int:
    """A whole number from `least` on; raises BadRequest."""
    value = given.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise refused(name, f"it must be a whole number of {least} or more")
    return value


def file_name(given: Json) -> str | None:
    """The name of the file of predictions; raises BadRequest for one that leads elsewhere."""
    name = text(given, "outputFileName")
    if name and ("/" in name or name in (".", "..")):
        raise refused("outputFileName", "it must be the name of a file, without folders")
    return name or None


def retries(given: Json, usual: BatchRetrySettings) -> BatchRetrySettings:
    """How often and how long a mini batch is tried; raises BadRequest."""
    asked = record(given, "retrySettings") or {}
    timeout = text(asked, "timeout") or usual["timeout"]
    if not duration.seconds(timeout):
        raise refused("retrySettings.timeout", "it must be a duration above 0 such as PT30S")
    return {"maxRetries": number(asked, "maxRetries", usual["maxRetries"], least=0), "timeout": timeout}


def code(given: Json) -> CodeSettings | None:
    """The scoring script and its code asset; raises BadRequest."""
    asked = record(given, "codeConfiguration")
    if asked is None:
        return None
    asset, script = text(asked, "codeId"), text(asked, "scoringScript")
    if not asset or not script:
        raise refused("codeConfiguration", "it needs a codeId and a scoringScript")
    return {"codeId": asset, "scoringScript": script}


def _configuration(given: Json) -> Json | None:
    asked = record(given, "deploymentConfiguration")
    if asked is None:
        return None
    kind = _word(asked, "deploymentConfigurationType", _TYPES)
    if kind != COMPONENT:
        return None
    return {
        "deploymentConfigurationType": kind,
        "componentId": _reference(asked, "componentId"),
        "description": text(asked, "description"),
        "settings": texts(asked, "settings"),
        "tags": texts(asked, "tags"),
    }


def _reference(given: Json, name: str) -> Json | None:
    """An asset by its id, the one way in which the SDK names one."""
    asked = record(given, name)
    if asked is None:
        return None
    asset = text(asked, "assetId")
    if _word(asked, "referenceType", ("Id",)) != "Id" or not asset:
        raise refused(name, "it must be a reference of the type Id, with an assetId")
    return {"referenceType": "Id", "assetId": asset}


def _resources(given: Json) -> Json:
    asked = record(given, "resources") or {}
    return {
        "instanceCount": number(asked, "instanceCount", 1),
        "instanceType": text(asked, "instanceType"),
        "properties": record(asked, "properties") or None,
    }


def _word(given: Json, name: str, known: tuple[str, ...]) -> str:
    """The word in the document's case, the first of those known where there is none; raises BadRequest."""
    value = text(given, name)
    if value is None:
        return known[0]
    for word in known:
        if word.casefold() == value.casefold():
            return word
    raise refused(name, f"it must be one of {', '.join(known)}")

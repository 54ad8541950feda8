"""What a managed online deployment asks for, as what runs it needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from azureml_local.execution import duration
from azureml_local.state import sizes
from azureml_local.state.documents import instances
from azureml_local.state.endpoint_documents import DeploymentDocument, ProbeSettings
from azureml_local.state.sizes import Size


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
    environment: str | None
    environment_variables: Mapping[str, str]
    size: Size
    instances: int
    concurrency: int
    timeout: float
    liveness: Probe
    readiness: Probe

    @classmethod
    def of(cls, name: str, document: DeploymentDocument) -> Deployment:
        """The settings in a stored document, whose properties wire/deployment_request.py has checked."""
        properties = document["properties"]
        code = properties["codeConfiguration"]
        return cls(
            name=name,
            model=properties["model"],
            code=code["codeId"] if code else None,
            script=code["scoringScript"] if code else None,
            environment=properties["environmentId"],
            environment_variables=properties["environmentVariables"],
            size=sizes.lookup(properties["instanceType"]),
            instances=instances(document),
            concurrency=properties["requestSettings"]["maxConcurrentRequestsPerInstance"],
            timeout=duration.seconds(properties["requestSettings"]["requestTimeout"]) or 0.0,
            liveness=_probe(properties["livenessProbe"]),
            readiness=_probe(properties["readinessProbe"]),
        )


def _probe(settings: ProbeSettings) -> Probe:
    return Probe(
        initial_delay=duration.seconds(settings["initialDelay"]) or 0.0,
        period=duration.seconds(settings["period"]) or 0.0,
        timeout=duration.seconds(settings["timeout"]) or 0.0,
        failure_threshold=settings["failureThreshold"],
    )

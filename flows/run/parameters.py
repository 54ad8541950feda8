"""The parameters of a deployment's run: what they leave out is the deployment's own, and no default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from pydantic import BaseModel

from flows.run.config import Finetune, parse

_PARAMETER = "config"


def completed(config: Finetune) -> Finetune:
    """The configuration of the run of this process, with the deployment's where a part was left out.

    Prefect puts a run's parameters in the place of its deployment's, each as a whole: `{"config": {"fresh":
    true}}` would be a run of all the defaults. The run's record is completed too, for all who read it later.
    Raises Failure when the two do not fit together.
    """
    if deployment.id is None:
        return config
    whole = _merged(config, UUID(deployment.id))
    if whole != config:
        parameters = {_PARAMETER: whole.model_dump(mode="json")}
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(this_run.id), parameters=parameters)
    return whole


def config_of(run: FlowRun) -> Finetune:
    """The configuration of any run, as `completed` gives the run itself."""
    config = Finetune.model_validate(run.parameters.get(_PARAMETER) or {})
    return config if run.deployment_id is None else _merged(config, run.deployment_id)


def _merged(config: Finetune, deployment: UUID) -> Finetune:
    """The configuration over the deployment's; alone where the deployment has none, or is gone."""
    try:
        with get_client(sync_client=True) as client:
            own = client.read_deployment(deployment).parameters.get(_PARAMETER)
    except ObjectNotFound:
        return config
    if not isinstance(own, Mapping):
        return config
    given = config.model_dump(mode="json", exclude_unset=True)
    return parse(_over(own, given, Finetune), config.recipe)


def _over(below: Mapping[str, Any], above: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The one document over the other, section by section; what is no section is replaced as a whole."""
    merged = dict(below)
    for name, value in above.items():
        field = model.model_fields.get(name)
        section = field.annotation if field else None
        under = below.get(name)
        if isinstance(section, type) and issubclass(section, BaseModel) and isinstance(under, Mapping):
            merged[name] = _over(under, value, section)
        else:
            merged[name] = value
    return merged

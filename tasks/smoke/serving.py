"""The second half of the smoke: the model behind an endpoint, its end, and the same name again."""

from __future__ import annotations

from time import monotonic
from typing import Any

import requests

from tasks import deploy, endpoint, leased
from tasks.azure import clients, operation
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import PREFIX
from tasks.endpoint import Change
from tasks.invoke import headers
from tasks.leased import Kind
from tasks.smoke.plan import DELETION_LIMIT, DEPLOYMENT_LIMIT
from tasks.smoke.work import Facts, Work, expect

DEPLOYMENT = "smoke"
_MARK = f"{PREFIX}smoke"
_QUESTION = "is anybody there?"
_TIMEOUT = 60.0  # seconds
_LOG_LINES = 60


def opened(work: Work) -> Facts:
    """The endpoint, created under the lease."""
    _create(work)
    return {}


def deployed_after_tags(work: Work) -> Facts:
    """A change of the endpoint's tags, and directly after it a deployment: the first may not be over."""
    model = work.need("model", work.model)
    begun = monotonic()
    changed = endpoint.change(
        work.session, work.plan.name, lambda found: Change.of(found, {**found.tags, _MARK: "changed"})
    )
    expect(changed is not None, "the endpoint is gone")
    poller = work.insist(lambda: _deploy(work, model), DEPLOYMENT_LIMIT)

    def settled() -> Any:
        found = deploy.find(work.session, work.plan.name, DEPLOYMENT)
        expect(found is not None, "the deployment is gone while it is made")
        work.say(operation.state(found))
        return found if operation.is_settled(found) else None

    made = work.until(settled, "the deployment", DEPLOYMENT_LIMIT)
    if operation.state(made) != "Succeeded":
        try:
            poller.result()
        except Exception as error:
            raise explain(error).with_details(_log(work)) from error
        raise Failure("The deployment has failed.", "See its log.", _log(work), cause=Cause.DEPLOYMENT)
    work.serves = True
    return {"minutes": round((monotonic() - begun) / 60, 1)}


def traffic(work: Work) -> Facts:
    """All traffic to the deployment, as the endpoint says it afterwards."""
    work.need("deployment", work.serves)
    begun = monotonic()
    wanted = {DEPLOYMENT: 100}
    work.insist(
        lambda: endpoint.change(work.session, work.plan.name, lambda found: Change.of(found, traffic=wanted)),
        DELETION_LIMIT,
    )

    def routed() -> Any:  # for a while after it Azure shows no address
        found = endpoint.find(work.session, work.plan.name)
        return found if found is not None and found.scoring_uri and found.traffic == wanted else None

    work.until(routed, "the traffic", DELETION_LIMIT)
    return {"seconds": round(monotonic() - begun, 1)}


def scored(work: Work) -> Facts:
    """A question, answered by the model that the job made."""
    work.need("deployment", work.serves)
    endpoints = clients.workspace(work.session).online_endpoints
    address = endpoints.get(work.plan.name).scoring_uri
    key = endpoints.get_keys(work.plan.name).primary_key
    begun = monotonic()
    answer = requests.post(
        address,
        json={"question": _QUESTION},
        headers=headers(key, DEPLOYMENT),
        timeout=_TIMEOUT,
    )
    expect(answer.status_code == requests.codes.ok, f"the endpoint answers {answer.status_code}")
    expected = {"text": "as it was written", "asked": _QUESTION}
    expect(answer.json() == expected, "the answer is not what the model and the question make")
    refused = requests.post(address, json={}, headers={"Authorization": "Bearer wrong"}, timeout=_TIMEOUT)
    expect(
        refused.status_code == requests.codes.unauthorized, f"a wrong key is answered {refused.status_code}"
    )
    return {"seconds": round(monotonic() - begun, 1)}


def listed(work: Work) -> Facts:
    """What `reap` lists: cluster, endpoint and deployment of this smoke, each with its lease."""
    found = leased.find_leased.fn(work.session)
    kinds = {item.kind for item in found.leased if item.run == work.plan.run}
    wanted = {Kind.CLUSTER, Kind.ENDPOINT} | ({Kind.DEPLOYMENT} if work.serves else set())
    expect(not wanted - kinds, f"not listed: {', '.join(sorted(wanted - kinds))}")
    expect(not found.unseen, f"not looked at: {', '.join(found.unseen)}")
    return {"listed": float(len(found.leased))}


def deleted(work: Work) -> Facts:
    """The endpoint deleted with its deployment, and seen to be gone."""
    begun = monotonic()
    work.insist(lambda: endpoint.remove(work.session, work.plan.name, work.plan.run), DELETION_LIMIT)
    work.serves = False
    return {"seconds": round(monotonic() - begun, 1)}


def made_again(work: Work) -> Facts:
    """The same name at once after its deletion: Azure may call it taken, or not found, for a while."""
    begun = monotonic()
    work.insist(lambda: _create(work), DELETION_LIMIT)
    return {"seconds": round(monotonic() - begun, 1)}


def deleted_while_updating(work: Work) -> Facts:
    """A deletion while the endpoint's tags are still being changed."""
    endpoints = clients.workspace(work.session).online_endpoints
    found = endpoints.get(work.plan.name)
    found.tags = {**found.tags, _MARK: "changed again"}
    endpoints.begin_create_or_update(found)
    return deleted(work)


def _create(work: Work) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    name = work.plan.name
    wanted = ManagedOnlineEndpoint(name=name, auth_mode="key", tags=work.lease.tags())
    poller = clients.workspace(work.session).online_endpoints.begin_create_or_update(wanted)
    made = operation.settled(lambda: endpoint.find(work.session, name), poller)
    expect(
        made is not None and operation.state(made) == "Succeeded",
        f"a new endpoint is {operation.state(made) if made else 'gone'}",
    )


def _deploy(work: Work, model: str) -> Any:
    from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment

    plan = work.plan
    wanted = ManagedOnlineDeployment(
        name=DEPLOYMENT,
        endpoint_name=plan.name,
        model=model,
        code_configuration=CodeConfiguration(code=str(work.code), scoring_script="score.py"),
        environment=plan.environment,
        instance_type=plan.size.name,
        instance_count=1,
        tags=work.lease.priced(plan.price).tags(),
    )
    return clients.workspace(work.session).online_deployments.begin_create_or_update(wanted)


def _log(work: Work) -> str:
    """The container's last lines."""
    try:
        return str(
            clients.workspace(work.session).online_deployments.get_logs(
                DEPLOYMENT, work.plan.name, lines=_LOG_LINES
            )
        )
    except Exception as error:  # noqa: BLE001 - the failure of the deployment is what is reported
        return f"(its log cannot be read: {explain(error).what})"

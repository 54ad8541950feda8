"""Checks of the account: who signs in, what that identity may do, and the workspace with its storage."""

from __future__ import annotations

from collections.abc import Iterator

from azure.core.exceptions import HttpResponseError

from flows.doctor.check import Finding, Registry, fails, passes, warns
from flows.doctor.look import Look
from tasks import cluster_identity
from tasks.azure import clients, permissions, private, providers, storage
from tasks.azure.errors import explain

registry = Registry()

_ROLES = "docs/azure.md has the roles."
_DENIED = 403


@registry.check("sign-in")
def sign_in(look: Look) -> Iterator[Finding]:
    """A token, and which credential of the chain has given it."""
    session = look.session.own()
    name = private.credential_in_use(clients.credential(session.browser_login))
    yield passes(f"{name or 'a credential'} signs in, the workspace answers", {"credential": name})


@registry.check("permissions")
def allowed(look: Look) -> Iterator[Finding]:
    """The actions of a run against those that the identity's roles allow in the workspace."""
    session = look.session.get()
    wanted = permissions.needed(cluster=look.config.compute.is_created)
    try:
        held = permissions.held(session)
    except HttpResponseError as error:
        if error.status_code != _DENIED:
            raise
        yield warns(
            "The identity may not read its own permissions, so they cannot be compared.",
            "Give it the action Microsoft.Authorization/permissions/read on the workspace.",
            details=explain(error).details,
        )
        return
    missing = permissions.missing(held, wanted)
    if missing:
        yield fails(
            f"Not allowed in the workspace: {', '.join(need.action for need in missing)}.",
            f"They are for {', '.join(need.purpose for need in missing)}; {_ROLES}",
            {"missing": [need.action for need in missing]},
        )
    else:
        yield passes(f"all {len(wanted)} actions of a run are allowed in the workspace")


@registry.check("providers")
def registered(look: Look) -> Iterator[Finding]:
    """What the subscription is registered for."""
    session = look.session.get()
    try:
        states = {name: providers.state(session, name) for name in providers.NEEDED}
    except HttpResponseError as error:
        if error.status_code != _DENIED:
            raise
        yield warns(
            "The identity may not read what the subscription is registered for; it is, if runs succeed.",
            "Reader on the subscription allows it.",
        )
        return
    wrong = {name: state for name, state in states.items() if state != providers.REGISTERED}
    for name, state in wrong.items():
        yield fails(
            f"The subscription is not registered for {name} ({state or 'unknown'}).",
            f"Run: az provider register --namespace {name}",
            {"provider": name},
        )
    if not wrong:
        yield passes(f"registered for {', '.join(name.partition('.')[2] for name in states)}", states)


@registry.check("workspace")
def workspace(look: Look) -> Iterator[Finding]:
    """The workspace, and whether its network lets anybody in."""
    found = look.workspace.own()
    properties = found.get("properties") or {}
    where = f"{found.get('name')} in {found.get('location')}"
    state = properties.get("provisioningState")
    facts = {
        "systemDatastoresAuthMode": properties.get("systemDatastoresAuthMode"),
        "publicNetworkAccess": properties.get("publicNetworkAccess"),
    }
    if state != "Succeeded":
        yield fails(f"{where} is {state}.", "See its page in the Azure portal.", facts)
        return
    yield passes(where, facts)


@registry.check("storage")
def storage_keys(look: Look) -> Iterator[Finding]:
    """Whether the storage takes keys, and where it does not, whether the cluster has an identity."""
    session, config = look.session.get(), look.config.compute
    if storage.takes_keys(session):
        yield passes("the storage takes keys", {"takes_keys": True})
        return
    if config.is_serverless:
        yield passes("the storage takes no keys, and serverless machines have the submitter's identity")
        return
    look.cluster.get()
    found = look.found_cluster(session)
    if found is None:
        cluster_identity.check_wanted(session, config)
    else:
        cluster_identity.check_found(session, found)
    yield passes("the storage takes no keys, and the cluster has an identity", {"takes_keys": False})

"""Clients of the real SDKs, made from plain values wherever a stage needs one.

They are kept within the process: a client costs a tenth of a second and its own connections.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict

from tasks.azure import private, service_clock

# Seconds to connect and to wait for an answer. The SDKs' own 300 s, times their retries, are most of an hour.
_CONNECT, _READ = 30.0, 60.0
# To set up its logging mlflow takes logging's lock when it is imported, and has all handlers flushed: that of
# Prefect then waits for a thread that needs the same lock, for ever. azure-ai-ml imports mlflow by itself.
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")

_READ_VARIABLE = "FINETUNE_READ_TIMEOUT"


class Session(BaseModel):
    """The workspace that a run works in; plain values, no secret."""

    model_config = ConfigDict(frozen=True)

    subscription_id: str
    resource_group: str
    workspace: str
    location: str
    tracking_uri: str
    resource_manager: str  # https://management.azure.com, or that of another cloud
    browser_login: bool = False

    @property
    def workspace_id(self) -> str:
        """The workspace's ARM id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        )


def workspace(session: Session) -> Any:
    """An MLClient for the workspace."""
    return _workspace(
        session.subscription_id,
        session.resource_group,
        session.workspace,
        session.resource_manager,
        session.browser_login,
    )


def assets(session: Session, registry: str | None) -> Any:
    """An MLClient for a registry's assets, or for the workspace's own when no registry is named."""
    if not registry:
        return workspace(session)
    return _registry(registry, session.resource_manager, session.browser_login)


def credential(browser_login: bool) -> Any:
    """The default chain: environment, workload and managed identity, CLI, and so on.

    A browser is opened only when asked for and somebody sits at a terminal: elsewhere it would hang.
    """
    return _credential(browser_login and sys.stdin.isatty(), resource_manager())


def mlflow(session: Session) -> Any:
    """An MlflowClient of the workspace, signed in as everything else is.

    Left to itself azureml-mlflow tries a chain of its own, whose last links open a browser or wait for
    somebody to type a code: a worker would hang there.
    """
    from azureml.mlflow import get_mlflow_tracking_uri_v2
    from mlflow import MlflowClient

    address = urlsplit(session.tracking_uri)
    where = {
        "subscription_id": session.subscription_id,
        "resource_group_name": session.resource_group,
        "workspace_name": session.workspace,
        "auth": credential(session.browser_login),
        "host_url": f"https://{address.netloc}",
    }
    get_mlflow_tracking_uri_v2(SimpleNamespace(ml_flow_tracking_uri=session.tracking_uri), where)
    return MlflowClient(tracking_uri=session.tracking_uri)


def forget() -> None:
    """Drop clients and credentials with the tokens they hold: the next ones sign in again."""
    for kept in (_workspace, _registry, _credential, _pipeline):
        kept.cache_clear()


def resource_manager() -> str:
    """The address of the current cloud's resource manager, as the SDK resolves it."""
    return private.resource_manager()


def authorities() -> str | None:
    """The file of authorities that the environment names, for clients that take no directory of them."""
    named = (os.environ.get(name, "") for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))
    return next((each for each in named if os.path.isfile(each)), None)


def timeouts() -> dict[str, float]:
    """How long azure-core's clients wait; FINETUNE_READ_TIMEOUT is for slow networks, in seconds."""
    return {
        "connection_timeout": _CONNECT,
        "read_timeout": float(os.environ.get(_READ_VARIABLE) or _READ),
    }


def state(value: Any) -> str:
    """A state as the service writes it: the SDK's enumerations equal that but print their Python name."""
    return str(getattr(value, "value", value) or "")


def read(session: Session, path: str, api_version: str) -> Any:
    """GET a resource manager document that the SDK does not show whole; retried by azure-core's policy."""
    return _send(session, "GET", _address(session, path, {"api-version": api_version}))


def follow(session: Session, address: str) -> Any:
    """GET an address as the service itself has given it, which may be signed; retried like `read`.

    Raises ValueError for one that is not the resource manager's, which has no business with our token.
    """
    if urlsplit(address).netloc != urlsplit(session.resource_manager).netloc:
        raise ValueError(f"{urlsplit(address).netloc} is not the resource manager")
    return _send(session, "GET", address)


def pages(session: Session, path: str, api_version: str, query: Mapping[str, str]) -> Iterator[Any]:
    """The items of a resource manager's list, page after page; retried like `read`."""
    address = _address(session, path, {"api-version": api_version, **query})
    while address:
        page = _send(session, "GET", address)
        yield from page.get("value") or ()
        address = page.get("nextLink") or ""


def write(session: Session, path: str, api_version: str, body: Any) -> Any:
    """PUT a resource manager document that the SDK would not send as it was read; retried like `read`."""
    return _send(session, "PUT", _address(session, path, {"api-version": api_version}), body)


def post(session: Session, path: str, api_version: str) -> Any:
    """POST an action that changes nothing, such as a look at secrets; retried like `read`."""
    return _send(session, "POST", _address(session, path, {"api-version": api_version}))


def remove(session: Session, path: str, api_version: str) -> None:
    """DELETE what the SDK has no method for; retried like `read`."""
    _answer(session, "DELETE", _address(session, path, {"api-version": api_version}))


def _address(session: Session, path: str, query: Mapping[str, str]) -> str:
    return f"{session.resource_manager}{quote(path)}?{urlencode(query)}"


def _send(session: Session, method: str, address: str, body: Any = None) -> Any:
    return _answer(session, method, address, body).json()


def _answer(session: Session, method: str, address: str, body: Any = None) -> Any:
    from azure.core.rest import HttpRequest

    response = _pipeline(session.resource_manager, session.browser_login).send_request(
        HttpRequest(method, address, json=body)
    )
    response.raise_for_status()
    service_clock.note(response.headers.get("Date"))
    return response


@lru_cache(maxsize=8)
def _workspace(
    subscription_id: str, resource_group: str, name: str, manager: str, browser_login: bool
) -> Any:  # the resource manager is part of the key only: the SDK finds it by itself
    return _client(browser_login, subscription_id, resource_group, name)


@lru_cache(maxsize=8)
def _registry(name: str, manager: str, browser_login: bool) -> Any:
    return _client(browser_login, registry_name=name)


def _client(browser_login: bool, *names: str, **named: str) -> Any:
    from azure.ai.ml import MLClient

    logging.getLogger("azure.ai.ml").setLevel(logging.WARNING)  # it tells of all that it checks
    private.look_at_no_stack()
    private.record_no_activity()
    return MLClient(
        credential(browser_login),
        *names,
        **named,
        **timeouts(),
        show_progress=False,
        enable_telemetry=False,
    )


@lru_cache(maxsize=8)
def _credential(browser_login: bool, manager: str) -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(exclude_interactive_browser_credential=not browser_login, **timeouts())


@lru_cache(maxsize=8)
def _pipeline(manager: str, browser_login: bool) -> Any:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy

    return PipelineClient(
        manager,
        policies=[
            RetryPolicy(),
            BearerTokenCredentialPolicy(credential(browser_login), f"{manager}/.default"),
        ],
        **timeouts(),
    )

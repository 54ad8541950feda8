"""The Prefect server that is configured: whether it answers, which it is, and on what it stands."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from tasks.azure.failure import Cause, Failure

_ANSWER = 10.0  # seconds
_ADDRESS = "PREFECT_API_URL"
_START = "Start it (prefect server start), correct PREFECT_API_URL, or unset it for a temporary server."

_temporary: set[str] = set()


def use_temporary(address: str) -> None:
    """Let Prefect use the server at that address, which lasts as long as this process."""
    from prefect.context import refresh_global_settings_context

    _temporary.add(address)
    os.environ[_ADDRESS] = address
    refresh_global_settings_context()


def is_lasting() -> bool:
    """Whether a server is configured that is there without this process as well."""
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    return address is not None and address not in _temporary


def check_answers() -> None:
    """Raise Failure when the configured server does not answer."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    with get_client(httpx_settings={"timeout": _ANSWER}, sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        raise _away(str(get_current_settings().api.url), error)


def lost(error: BaseException) -> Failure | None:
    """What an error amounts to that is for want of the server; None for any other."""
    from httpx import RequestError
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    if address is None or not isinstance(error, RequestError):
        return None
    return _away(address, error) if str(error.request.url).startswith(address) else None


def server_version() -> str:
    """The version of the configured server."""
    from prefect.client.orchestration import get_client

    with get_client(httpx_settings={"timeout": _ANSWER}, sync_client=True) as client:
        return str(client.api_version())


def is_cloud() -> bool:
    """Whether it is Prefect Cloud, whose version is no matter: Prefect's own client does not ask for it."""
    from prefect.client.base import ServerType, determine_server_type

    return determine_server_type() is ServerType.CLOUD


def database() -> str:
    """The kind of the configured server's database, such as `sqlite`; empty where only the server knows it.

    A server does not show its own; one on this machine takes it from the same settings as this process.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if urlsplit(settings.api.url or "").hostname not in ("localhost", "127.0.0.1", "::1"):
        return ""
    address = settings.server.database.connection_url
    return urlsplit(address.get_secret_value()).scheme.partition("+")[0] if address else ""


def _away(address: str, error: BaseException) -> Failure:
    what, do = f"The Prefect server at {address} does not answer.", _START
    if address in _temporary:
        what = f"Prefect's temporary server at {address} does not answer."
        do = "Run the same again: what was made is used again."
    return Failure(what, do, f"{type(error).__name__}: {error}", cause=Cause.PREFECT)

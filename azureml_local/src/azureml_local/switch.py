"""Join the local workspace: start its server or find it, and point the Azure SDKs at it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from azureml_local.server import Address, CannotServe, is_served
from azureml_local.settings import Pace, Scenario, Settings
from azureml_local.state.stay import Stay as Stay

_START_LIMIT = 60.0  # seconds; a start takes one
_STOP_LIMIT = 20.0
_POLL = 0.02
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_USUAL = Scenario()


def default_state() -> Path:
    """AZUREML_LOCAL_STATE, or a directory of the user's own."""
    named = os.environ.get("AZUREML_LOCAL_STATE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("azureml-local", appauthor=False))


@contextmanager
def joined(
    state: Path | None = None,
    *,
    pace: Pace = "instant",
    port: int = 0,
    scenario: Scenario = _USUAL,
    stay: Stay | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[dict[str, str]]:
    """Hold the server of `state` while the block runs; yields the environment that leads clients to it.

    Starts a server when none serves that state, and calls `meanwhile` until it answers; such a server ends
    itself, deployments included, when nobody holds it any more, no job runs, and there is no endpoint for
    which it is to `stay`. Raises CannotServe when it does not come up.
    """
    directory = (state or default_state()).absolute()
    _make(directory)
    with (directory / "holders.lock").open("a") as holders:
        fcntl.flock(holders, fcntl.LOCK_SH)
        if stay is not None:
            stay.write(directory)
        options = ["--pace", pace, "--port", str(port), *scenario.options()]
        server = None
        try:
            server = _join_or_start(directory, options, meanwhile)
            yield environment(directory)
        finally:
            leaving = _leaving(directory)
            fcntl.flock(holders, fcntl.LOCK_UN)
            if leaving is not None:
                process = leaving.pid
                _wait(lambda: _ended(process, server) or _held(directory), _STOP_LIMIT)
            if server is not None and server.poll() is None:
                server.returncode = 0  # it runs on without us, and nobody needs to wait for it


def environment(state: Path) -> dict[str, str]:
    """The variables that lead azure-ai-ml, azure-identity, azureml-mlflow and requests to the running server.

    Raises CannotServe when none runs.
    """
    address = Address.read(state)
    if address is None:
        raise CannotServe(
            f"No server is running for {state}: start one with `azureml-local up --state {state}`."
        )
    settings = Settings(state=state, port=int(address.url.rsplit(":", 1)[1]))
    bundle = str(settings.bundle_path)
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "localhost", "127.0.0.1")))
    secret = _secrets(state)["identity_header"]
    way_back = f"http://azureml-local:{secret}@127.0.0.1:{address.proxy}"
    return {
        "PATH": f"{state / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HTTPS_PROXY": way_back,
        "https_proxy": way_back,
        "ARM_CLOUD_METADATA_URL": f"{address.url}/metadata/endpoints",
        "AZUREML_CURRENT_CLOUD": settings.cloud,
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{address.url}/",
        "IDENTITY_ENDPOINT": f"{address.url}/msi/token",
        "IDENTITY_HEADER": secret,
        # Without this a developer's own login, or a service principal, would be asked first.
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "REQUESTS_CA_BUNDLE": str(settings.authorities_path),
        "SSL_CERT_FILE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "AZURE_SUBSCRIPTION_ID": settings.subscription_id,
        "AZURE_RESOURCE_GROUP": settings.resource_group,
        "AZUREML_WORKSPACE_NAME": settings.workspace,
        "AZUREML_LOCAL_URL": address.url,
        "AZUREML_LOCAL_STATE": str(state),
    }


def token(state: Path, resource: str) -> dict[str, str | int]:
    """An access token for the resource, as `az account get-access-token` prints it; raises CannotServe."""
    address = Address.read(state)
    if address is None:
        raise CannotServe(f"No server is running for {state}: please run `azureml-local up`.")
    request = urllib.request.Request(
        f"{address.url}/msi/token?{urlencode({'resource': resource})}",
        headers={"X-IDENTITY-HEADER": _secrets(state)["identity_header"]},
    )
    given = _sent(state, request)
    settings, expires = Settings(state=state, port=0), int(given["expires_on"])
    return {
        "accessToken": given["access_token"],
        "expiresOn": f"{datetime.fromtimestamp(expires):%Y-%m-%d %H:%M:%S.%f}",  # local, as the real one's
        "expires_on": expires,
        "subscription": settings.subscription_id,
        "tenant": settings.tenant_id,
        "tokenType": "Bearer",
    }


def ask(
    state: Path, address: Address, path: str, body: dict[str, Any] | list[Any] | None = None
) -> dict[str, Any]:
    """The answer of an admin route; POST when there is a body."""
    request = urllib.request.Request(
        address.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Admin-Secret": _secrets(state)["admin"], "Content-Type": "application/json"},
    )
    return _sent(state, request)


def _sent(state: Path, request: urllib.request.Request) -> dict[str, Any]:
    trusting = ssl.create_default_context(cafile=state / "tls" / "ca.pem")
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    with urllib.request.build_opener(*handlers).open(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "holders.lock").touch()
        with tempfile.TemporaryFile(dir=directory) as file:  # on a full disk the server could not say why not
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise CannotServe(f"Cannot use the state directory {directory}: {error.strerror}.") from error


def _join_or_start(
    directory: Path, options: list[str], meanwhile: Callable[[], None]
) -> subprocess.Popen[bytes] | None:
    """The server's process when it had to be started."""
    with (directory / "start.lock").open("a") as lock:  # two that join at once start one server
        fcntl.flock(lock, fcntl.LOCK_EX)
        _wait(lambda: not is_served(directory) or Address.read(directory) is not None, _START_LIMIT)
        return None if Address.read(directory) else _start(directory, options, meanwhile)


def _start(directory: Path, options: list[str], meanwhile: Callable[[], None]) -> subprocess.Popen[bytes]:
    """A server in a session of its own, so that neither Ctrl-C nor the death of this process ends it."""
    command = [sys.executable, "-m", "azureml_local", "up", "--while-held"]
    command += ["--state", str(directory), *options]
    log_path = directory / "server.log"
    server = None
    try:
        with log_path.open("ab") as log, _signals_held():
            begins = log.tell()
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        meanwhile()
        _wait(lambda: _address_of(directory, server) is not None or server.poll() is not None, _START_LIMIT)
    except BaseException:  # as Ctrl-C: nobody would hold the server that is about to be ready
        if server is not None:
            server.terminate()
            server.wait()
        raise
    if _address_of(directory, server) is None:
        said = log_path.read_bytes()[begins:].decode(errors="replace").strip()
        raise CannotServe(f"The local workspace did not start. Its output: {said or 'none'} ({log_path})")
    return server


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals that end us are handled after the block, so that none comes between a fork and its handle."""
    if threading.current_thread() is not threading.main_thread():  # Python handles them in that thread alone
        yield
        return
    arrived: list[int] = []
    usual = {ending: signal.getsignal(ending) for ending in _ENDING}
    try:
        for ending in usual:
            signal.signal(ending, lambda received, _: arrived.append(received))
        yield
    finally:
        for ending, handler in usual.items():
            signal.signal(ending, handler)
        for number in arrived:  # also when the block itself has failed: who pressed Ctrl-C meant all of it
            signal.raise_signal(number)


def _address_of(directory: Path, server: subprocess.Popen[bytes]) -> Address | None:
    address = Address.read(directory)
    return address if address is not None and address.pid == server.pid else None


def _leaving(directory: Path) -> Address | None:
    """The server if it ends when nobody holds it: not one started by hand, nor while it is in use."""
    address = Address.read(directory)
    if address is None or not address.leaves:
        return None
    try:
        return None if any(ask(directory, address, "/admin/live").values()) else address
    except OSError:  # it has just ended
        return None


def _ended(pid: int, server: subprocess.Popen[bytes] | None) -> bool:
    """Whether the process is gone, not only its lock: who ran a command must find nothing left of it."""
    if server is not None and server.pid == pid:
        return server.poll() is not None
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _held(directory: Path) -> bool:
    """Whether another process holds the state. The leaving server takes the lock for itself, and is none."""
    with (directory / "holders.lock").open("a") as holders:
        try:
            fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _shared(directory)
    return False


def _shared(directory: Path) -> bool:
    with (directory / "holders.lock").open("a") as holders:
        try:
            fcntl.flock(holders, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # exclusively locked: by the server, which is about to stop
    return True


def _wait(condition: Callable[[], bool], limit: float) -> None:
    ends = time.monotonic() + limit
    while not condition() and time.monotonic() < ends:
        time.sleep(_POLL)


def _secrets(state: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((state / "secrets.json").read_text())
    return found

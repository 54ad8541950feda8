"""Serve one state directory on loopback until stopped."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shlex
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from azureml_local.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from azureml_local.execution.workspace import Workspace
    from azureml_local.state.faults import Rule

logger = logging.getLogger(__name__)


class CannotServe(Exception):
    """The server cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a running server is, written once it answers; `leaves` when it ends with its last holder."""

    url: str
    pid: int
    leaves: bool = False
    proxy: int = 0  # the port of the proxy that leads requests for Azure here

    @classmethod
    def read(cls, state: Path) -> Address | None:
        """The address of the server that answers for `state` now, None when there is none."""
        if not is_served(state):
            return None
        try:
            return cls(**json.loads((state / "server.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # not yet there, or of another version
            return None


def is_served(state: Path) -> bool:
    """Whether a server has the state, be it only about to answer or about to end."""
    try:
        with (state / "server.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def serve(
    settings: Settings,
    *,
    while_held: bool = False,
    faults: Sequence[Rule] = (),
    ready: Callable[[Settings], None],
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `ready` is called with the final settings once it answers.

    With `while_held` it also stops when no process holds the state (see switch.joined) and nothing in it is
    wanted any more: no job runs, and it stays for no endpoint.
    Raises CannotServe when the directory cannot be used, the port is taken, or another server has the state.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process would compile mlflow and torch again
    with _exclusive(settings.state), _listening(settings) as (listening, settings):
        # Late, so that a second server, or one without a port, has said so by then.
        from azureml_local import certificates
        from azureml_local.catalogue.own_models import BadModels, own_models
        from azureml_local.execution import node_python
        from azureml_local.execution.environments import NoUv, uv
        from azureml_local.execution.node_python import BadPython
        from azureml_local.execution.workspace import Workspace
        from azureml_local.state.access import BadRole
        from azureml_local.state.external_data import BadRules
        from azureml_local.state.schema import NewerState
        from azureml_local.wire import seed_file

        try:
            if settings.scenario.seed is not None:  # it is wanted later, when it would be late to refuse
                seed_file.read(settings.scenario.seed)
            own_models()
            if settings.scenario.environments == "uv":
                uv()
            if settings.scenario.node_python is not None:
                node_python.check(settings.scenario.node_python)
            with _undamaged():
                made = certificates.ensure(settings)
                workspace = Workspace.open(settings)
        except (OSError, sqlite3.Error) as error:
            raise CannotServe(f"Cannot use the state directory {settings.state}: {error}.") from error
        except (BadRole, BadModels, BadRules, NewerState, seed_file.BadSeed, NoUv, BadPython) as error:
            raise CannotServe(str(error)) from None
        workspace.faults.replace(faults)

        def announce() -> None:
            _announce(settings, proxy=listening.proxy.getsockname()[1], leaves=while_held)
            ready(settings)

        with _undamaged(), closing(workspace):
            server = _server(workspace, certificate=made.server, proxy=listening.proxy, started=announce)
            _run(workspace, server, listening.server, while_held=while_held)


def _run(workspace: Workspace, server: uvicorn.Server, listener: socket.socket, *, while_held: bool) -> None:
    """Go on with what is unfinished, and answer until a signal, or until nobody holds the state."""
    signal.signal(signal.SIGTERM, _exit)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _terminate)
    if while_held:
        watch = (workspace.settings.state, workspace.in_use, server)
        threading.Thread(target=_stop_when_released, args=watch, daemon=True).start()
    try:
        workspace.start()
        server.run(sockets=[listener])
    finally:
        workspace.settings.address_path.unlink(missing_ok=True)
        # In the foreground it ends all that runs; one that programs share leaves jobs their nodes.
        stopped = [] if while_held else workspace.stop_jobs()
        if stopped:
            logger.warning(
                "Ended the processes of jobs that ran: %s. They begin again with the next start.",
                ", ".join(stopped),
            )


@contextmanager
def _undamaged() -> Iterator[None]:
    """Turn DamagedState into CannotServe."""
    from azureml_local.state.damage import DamagedState

    try:
        yield
    except DamagedState as error:
        raise CannotServe(error.message) from None


def _server(
    workspace: Workspace, *, certificate: Path, proxy: socket.socket, started: Callable[[], None]
) -> uvicorn.Server:
    """The HTTPS server of the workspace, with its proxy; it calls `started` once both answer."""
    import uvicorn

    from azureml_local.wire import app, storage_host
    from azureml_local.wire.bounded_http import BoundedHttp
    from azureml_local.wire.fault import FaultSwitch
    from azureml_local.wire.proxy import Proxy

    settings, secret = workspace.settings, workspace.secrets.identity_header
    way_back = Proxy(settings.port, secret, workspace.proxied, partial(storage_host.is_kept, workspace))

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.proxy = await way_back.serve(proxy)
            started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            if self.force_exit:  # uvicorn then waits for nothing, the application's own end included
                await self.lifespan.shutdown()

    return Server(
        uvicorn.Config(
            FaultSwitch(app.create(workspace), workspace),
            http=BoundedHttp,
            ssl_certfile=certificate,
            ssl_keyfile=certificate,
            log_config=None,
            proxy_headers=False,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            server_header=False,
            date_header=False,  # answers carry the workspace's own time
        )
    )


def _exit(number: int, _: object) -> None:
    """uvicorn stops gracefully, then raises the signal again: as an exception it lets us clean up."""
    raise SystemExit(128 + number)


def _terminate(number: int, _: object) -> None:
    """A closed terminal ends it as SIGTERM does, whoever handles that by then."""
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """Hold the state directory, so that there is one server for it at a time."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)  # also one that was there: it holds keys, and whatever jobs were given
        lock = (state / "server.lock").open("a")
    except OSError as error:
        raise CannotServe(
            f"Cannot use the state directory {state}: {error.strerror}. "
            "Choose another with --state, or make it writable."
        ) from error
    with lock:
        _take(lock, state)
        (state / "server.json").unlink(missing_ok=True)  # of one that was killed
        yield


def _take(lock: TextIO, state: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        address = Address.read(state)
        where = f" at {address.url} (process {address.pid})" if address else ""
        raise CannotServe(
            f"Another server{where} already serves {state}. Use that one, stop it, or choose another --state."
        ) from error


@dataclass(frozen=True)
class _Listening:
    """The sockets on loopback: the server's, and its proxy's."""

    server: socket.socket
    proxy: socket.socket


@contextmanager
def _listening(settings: Settings) -> Iterator[tuple[_Listening, Settings]]:
    """Sockets on loopback, and the settings with the port that was found."""
    # asyncio switches Nagle's delay off, 40 ms an answer, only where the protocol is named.
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with socket.socket(*kind) as listener, socket.socket(*kind) as proxy:
        for each in (listener, proxy):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in _ports(settings):
            try:
                listener.bind(("127.0.0.1", port))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == settings.port:
                    raise CannotServe(
                        f"Cannot bind to 127.0.0.1:{port}: {error.strerror}. Choose another --port."
                    ) from error
        listener.listen(2048)
        try:
            proxy.bind(("127.0.0.1", _number(settings.state / "proxy-port")))
        except OSError:  # somebody else has it by now
            proxy.bind(("127.0.0.1", 0))
        yield _Listening(listener, proxy), settings.at(listener.getsockname()[1])


def _ports(settings: Settings) -> list[int]:
    """The port asked for; else the one this state had last, where its clients still look, else any."""
    if settings.port:
        return [settings.port]
    return [_number(settings.state / "port"), 0]


def _number(path: Path) -> int:
    """The port that a file holds; 0, for any, where it holds none."""
    try:
        port = int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return port if 0 < port < 2**16 else 0


def _announce(settings: Settings, *, proxy: int, leaves: bool) -> None:
    (settings.state / "port").write_text(str(settings.port))
    (settings.state / "proxy-port").write_text(str(proxy))
    _write_az(settings.state / "bin" / "az")
    fresh = settings.address_path.with_suffix(".new")
    address = Address(settings.base_url, os.getpid(), leaves, proxy)
    fresh.write_text(json.dumps(asdict(address)))
    os.replace(fresh, settings.address_path)


def _write_az(path: Path) -> None:
    """A stand-in for Azure's command line, first on the PATH of the workspace's environment."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m azureml_local az "$@"\n')
    path.chmod(0o700)


def _stop_when_released(
    state: Path, in_use: Callable[[], Mapping[str, list[str]]], server: uvicorn.Server
) -> None:
    """Wait until nobody holds the state and nothing in it is wanted, then stop the server.

    The exclusive lock is kept to the end of the process: who wants to join meanwhile waits for it, finds no
    server, and starts one.
    """
    look_again = threading.Event()
    lock = (state / "holders.lock").open("a")
    while True:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(in_use().values()):
            break
        fcntl.flock(lock, fcntl.LOCK_UN)
        look_again.wait(0.5)
    server.force_exit = True  # connections that clients left open are no reason to wait
    server.should_exit = True
    threading.Event().wait()  # keeps `lock` open

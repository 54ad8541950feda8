"""The way of requests that are meant for Azure: back to this workspace, instead of over the network.

Credentials and clients that name a cloud themselves have Azure's public addresses built in. In the
environment of the workspace HTTPS_PROXY leads them here: sign-in, Resource Manager and the storage accounts
that a datastore names are answered by the workspace, whose certificate has these names too; other hosts of
Azure are refused, so that nothing reaches a real subscription unasked. All else is passed on, through the
proxy that the server itself was started with.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

LOGIN_HOSTS = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
# What the workspace answers for, under its own certificate.
CAUGHT = (*LOGIN_HOSTS, "management.azure.com")
# Sign-in, management, machine learning, keys and telemetry of all clouds; not storage, which has public data.
_AZURES = re.compile(
    r"(.+\.)?("
    r"microsoftonline\.(com|us)|partner\.microsoftonline\.cn|(login|management)\.chinacloudapi\.cn"
    r"|management\.(azure\.com|usgovcloudapi\.net|core\.windows\.net)|graph\.(microsoft\.com|windows\.net)"
    r"|azureml\.(ms|net)|ml\.azure\.(com|us|cn)|vault\.azure\.net"
    r"|services\.visualstudio\.com|applicationinsights\.azure\.com)"
)
_USER = "azureml-local"
_HEAD_LIMIT = 16 * 1024  # bytes
_PATIENCE = 20.0  # seconds for the head of a request, and for a connection


class Proxy:
    """Answers CONNECT for who knows the secret.

    `caught` holds the local ports of the connections that it has opened to the workspace's server, `is_kept`
    says of a host whether it is a storage account that a datastore names.
    """

    def __init__(self, server: int, secret: str, caught: set[int], is_kept: Callable[[str], bool]) -> None:
        self._server = server
        self._is_kept = is_kept
        self._expected = "Basic " + base64.b64encode(f"{_USER}:{secret}".encode()).decode()
        self._caught = caught
        self._upstream = _upstream()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Begin to answer on the socket."""
        return await asyncio.start_server(self._connected, sock=listener, limit=_HEAD_LIMIT)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                answer, there = await self._answer(head)
            writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
            await writer.drain()
            if there is not None:
                await _tunnel((reader, writer), there)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            logger.info("the proxy gave a connection up: %r", error)
        finally:
            writer.close()

    async def _answer(self, head: str) -> tuple[str, Pair | None]:
        """What CONNECT is answered, and the connection where it is granted."""
        request, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, _, rest = request.partition(" ")
        host, _, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or not port.isdigit():
            return "405 Method Not Allowed\r\nAllow: CONNECT", None
        if not hmac.compare_digest(headers.get("proxy-authorization", "").encode(), self._expected.encode()):
            return (
                '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="azureml-local"',
                None,
            )
        try:
            return await self._granted(host.casefold().strip("[]"), int(port))
        except OSError as error:
            return f"502 {host}: {error.strerror or 'not found'}", None

    async def _granted(self, host: str, port: int) -> tuple[str, Pair | None]:
        if host in CAUGHT or self._is_kept(host):
            there = await asyncio.open_connection("127.0.0.1", self._server)
            own = there[1].get_extra_info("sockname")[1]
            self._caught.add(own)
            self._forget_when_closed(there[1], own)
            return "200 Connection established", there
        if _AZURES.fullmatch(host):
            return f"403 azureml-local does not let requests for {host} leave this machine", None
        if self._upstream is None:
            return "200 Connection established", await asyncio.open_connection(host, port)
        return await _through(self._upstream, host, port)

    def _forget_when_closed(self, writer: asyncio.StreamWriter, port: int) -> None:
        async def forget() -> None:
            with suppress(OSError):
                await writer.wait_closed()
            self._caught.discard(port)

        task = asyncio.ensure_future(forget())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _upstream() -> str | None:
    """The proxy that the server was started with, unless it is a workspace's, maybe this one's of before."""
    given = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or None
    return None if given and given.startswith(f"http://{_USER}:") else given


async def _through(proxy: str, host: str, port: int) -> tuple[str, Pair | None]:
    """A connection by way of another proxy."""
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if parts.username:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(known.encode()).decode()}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[0].partition(" ")[2]
    if answer.startswith("2"):
        return "200 Connection established", (reader, writer)
    writer.close()
    return answer, None


async def _tunnel(here: Pair, there: Pair) -> None:
    """Carry bytes both ways until both sides have ended."""
    try:
        await asyncio.gather(_carry(here[0], there[1]), _carry(there[0], here[1]))
    finally:
        there[1].close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(64 * 1024):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()

"""Clients that send too much, or nothing of what they have begun."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from azureml_local.wire.bounded_http import BoundedHttp
from tests.support.waiting import PATIENCE, until


class Hasty(BoundedHttp):
    patience = 0.2


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server whose patience is short."""
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, http=Hasty, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        thread.join()


def answer(port: int, *pieces: bytes) -> bytes:
    """All that the server says to these pieces before it ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        said = b""
        try:
            for piece in pieces:
                client.sendall(piece)
            while more := client.recv(65536):
                said += more
        except ConnectionError:  # cut off
            return said
        return said


CLOSE = b"Host: x\r\nConnection: close\r\n"


def test_a_request_within_bounds_is_answered(port: int) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 1000) for number in range(50))
    assert answer(port, b"GET / HTTP/1.1\r\n" + many + CLOSE + b"\r\n").startswith(b"HTTP/1.1 200")
    body = b"x" * 1_000_000
    head = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n" + CLOSE + b"\r\n"
    assert answer(port, head, body).endswith(b"1000000")


@pytest.mark.parametrize(
    "headers", [b"X: " + b"v" * 200_000, b"X: " + b"v" * 70_000 + b"\r\n\r\n", b"A: b\r\n" * 20_000]
)
def test_large_headers_are_refused(port: int, headers: bytes) -> None:
    said = answer(port, b"GET / HTTP/1.1\r\n" + headers)
    assert said == b"" or said.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
def test_who_sends_nothing_more_is_cut_off(port: int, piece: bytes) -> None:
    assert b"200" not in answer(port, piece)

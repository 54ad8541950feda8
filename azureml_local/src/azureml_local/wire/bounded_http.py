"""HTTP with bounds: headers of a size, and clients that send what they have begun."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol, which waits for ever and takes headers of any size.

    A connection is cut off when a request is due or under way and nothing of it comes for `patience` seconds;
    a body that the server does not read yet is no fault of its client's. Headers beyond `head_limit` bytes
    are answered with 400.
    """

    patience: ClassVar[float] = 30.0
    head_limit: ClassVar[int] = 64 * 1024

    _timer: asyncio.TimerHandle | None = None
    _head: int | None = 0  # bytes of the headers so far, None once they are complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is not None:  # the parser says nothing of a header before it has all of it
            self._head += len(data)
            if self._head > self.head_limit and not self.transport.is_closing():
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._wait()

    def on_headers_complete(self) -> None:
        too_large = sum(len(name) + len(value) for name, value in self.headers) > self.head_limit
        self._head = None
        if too_large:
            raise ValueError("the headers are too large")  # which uvicorn answers with 400
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._wait()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop()

    def _refuse(self) -> None:
        self._stop()
        self.send_400_response("The headers are too large.")

    def _wait(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self.patience, self._cut_off)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut_off(self) -> None:
        if self.flow.read_paused:
            self._wait()
        else:
            self.transport.abort()

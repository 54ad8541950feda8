"""What stands between a client and a server on loopback, and can be cut in the middle of anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Passes on what either says, byte by byte, until it is cut; then nobody listens on its port any more."""

    def __init__(self, port: int) -> None:
        """Relay to that port of this machine."""
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Close every connection, and refuse the next."""
        _shut(self._listener)
        self._threads[0].join()
        for end in self._ends:
            _shut(end)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    here, _ = self._listener.accept()
                except OSError:  # it is cut
                    return
                there = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [here, there]
                for source, target in ((here, there), (there, here)):
                    thread = threading.Thread(target=_pass_on, args=[source, target])
                    self._threads.append(thread)
                    thread.start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other end has gone
        while said := source.recv(65536):
            target.sendall(said)
    _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):  # it is shut already
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """A relay to that port, cut with the block at the latest."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.cut()
        for end in relay._ends:
            end.close()

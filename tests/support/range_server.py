"""A loopback HTTP server of a folder that knows ranges, counts what it sends, and can misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.support import loopback


@dataclass
class RangeServer:
    """Where it is and what it sent. The next `break_off` answers end in the middle of their body."""

    url: str = ""
    bytes: int = 0
    requests: int = 0
    ranges: bool = True
    break_off: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            self.requests += 1

    def breaks_off(self) -> bool:
        with self._lock:
            self.break_off -= 1
            return self.break_off >= 0


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[RangeServer]:
    """Serve the folder while the block runs."""
    found = RangeServer(ranges=ranges)
    with loopback.serving(_handler(folder, found)) as port:
        found.url = f"http://127.0.0.1:{port}"
        yield found


def _handler(folder: Path, found: RangeServer) -> type[SimpleHTTPRequestHandler]:
    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                super().do_GET()  # a listing, or 404
                return
            size = path.stat().st_size
            start, end = 0, size
            asked = self.headers.get("Range") if found.ranges else None
            if asked:
                first, last = asked.removeprefix("bytes=").split("-")
                # bytes=-500 are the last 500
                start, end = int(first or size - int(last)), min(int(first and last or size), size - 1) + 1
            with path.open("rb") as file:
                file.seek(start)
                content = file.read(end - start)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if found.breaks_off():
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return
            self.wfile.write(content)
            found.sent(len(content))

        def end_headers(self) -> None:
            if found.ranges:
                self.send_header("Accept-Ranges", "bytes")
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            """Requests are not news."""

    return Handler

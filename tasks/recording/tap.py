"""The one place through which every client in this process sends: what is sent and answered is seen there.

azure-core's transport, MLflow and our own requests have no hook in common but the adapter of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

See = Callable[[requests.PreparedRequest, requests.Response], None]


@contextmanager
def tapped(see: See) -> Iterator[None]:
    """Let `see` look at every exchange until the block ends; neither side of one is changed."""
    send = HTTPAdapter.send

    def seen(
        adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = send(adapter, request, *args, **kwargs)
        see(request, response)
        return response

    HTTPAdapter.send = seen  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]

"""Raw requests of a workspace, as the recorded exchanges have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from tests.support.waiting import PATIENCE, until

PROVIDER = "providers/Microsoft.MachineLearningServices"
VERSION = "2024-04-01"


@dataclass(frozen=True)
class Wire:
    """A session with a token, and the addresses of the workspace that it asks."""

    session: requests.Session
    url: str
    subscription: str
    group: str
    workspace: str
    location: str

    @property
    def path(self) -> str:
        """The workspace's."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{group}/{PROVIDER}/workspaces/{self.workspace}"

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """The answer to a request of a path below the workspace; one that begins with a slash is whole."""
        whole = path if path.startswith("/") else f"{self.path}/{path}"
        address = f"{self.url}{whole}{'&' if '?' in whole else '?'}api-version={VERSION}"
        return self.session.request(method, address, json=body, headers=headers, timeout=PATIENCE)

    def replay(self, request: dict[str, Any], names: dict[str, str]) -> requests.Response:
        """Send a recorded request to this workspace; `names` stand for the record's placeholders."""
        path = re.sub(r"^https://[^/]+", "", request["url"]).partition("?")[0]
        path = re.sub(r"/subscriptions/[^/]+", f"/subscriptions/{self.subscription}", path)
        path = re.sub(r"/resourceGroups/[^/]+", f"/resourceGroups/{self.group}", path)
        path = re.sub(r"/workspaces/[^/]+", f"/workspaces/{self.workspace}", path)
        path = re.sub(r"/locations/[^/]+", f"/locations/{self.location}", path)
        for placeholder, name in names.items():
            path = path.replace(placeholder, quote(name))
        assert "<" not in path, f"nothing stands for a placeholder in {path}"
        return self.send(request["method"], path, request.get("body"))

    def make(self, path: str, body: Any) -> Any:
        """Create a resource and wait for it; its document."""
        answer = self.send("PUT", path, body)
        assert answer.ok, answer.text
        if poll := answer.headers.get("Azure-AsyncOperation"):
            operation = until(lambda: self._ended(poll), f"{path} is not made")
            assert operation["status"] == "Succeeded", operation
        return self.send("GET", path).json()

    def _ended(self, poll: str) -> dict[str, Any] | None:
        operation: dict[str, Any] = self.session.get(poll, timeout=PATIENCE).json()
        return operation if operation["status"] in ("Succeeded", "Failed", "Canceled") else None

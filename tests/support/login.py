"""A login host on loopback that gives a service principal the local workspace's tokens for its secret."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import requests
import trustme

from tests.conftest import LocalServer
from tests.support import loopback
from tests.support.waiting import PATIENCE

TENANT = "adfs"  # a tenant of this name is not looked up at Microsoft first


@dataclass
class Login:
    """What clients need to reach it, and what they sent to it."""

    environment: dict[str, str]
    requests: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def logging_in(server: LocalServer, secret: str, folder: Path) -> Iterator[Login]:
    """The host while the block runs; any other secret is refused."""
    authority = trustme.CA()
    bundle = folder / "bundle.pem"
    bundle.write_bytes(Path(server.environment["SSL_CERT_FILE"]).read_bytes() + authority.cert_pem.bytes())
    login = Login({"REQUESTS_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": str(bundle)})

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"{login.environment['AZURE_AUTHORITY_HOST']}/{TENANT}"
            self._answer(
                200,
                {"issuer": base, "authorization_endpoint": f"{base}/auth", "token_endpoint": f"{base}/token"},
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            login.requests.append(asked)
            if asked.get("client_secret") != secret:
                self._answer(401, {"error": "invalid_client", "error_description": "The secret is wrong."})
                return
            self._answer(200, _token(server, asked["scope"]) | {"token_type": "Bearer", "expires_in": 3600})

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

        def _answer(self, status: int, body: dict[str, object]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with loopback.serving(Host, context) as port:
        login.environment["AZURE_AUTHORITY_HOST"] = f"https://localhost:{port}"
        yield login


def _token(server: LocalServer, scope: str) -> dict[str, object]:
    """A token of the workspace's managed identity, for what the scope names."""
    answer = requests.get(
        server.environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": scope.split()[0].removesuffix("/.default")},
        headers={"X-IDENTITY-HEADER": server.environment["IDENTITY_HEADER"]},
        verify=server.environment["REQUESTS_CA_BUNDLE"],
        timeout=PATIENCE,
    )
    answer.raise_for_status()
    return {"access_token": answer.json()["access_token"]}

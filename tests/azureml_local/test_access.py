"""Who is let in: tokens, identity header, scope; and what is said to those who are not."""

from __future__ import annotations

import os
from typing import Any

import jwt
import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.state.tokens import Secrets
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/local"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/local"


def _get(server: LocalServer, path: str, token: str | None) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(server.url + path, headers=headers, timeout=PATIENCE)


@pytest.fixture
def claims(server: LocalServer, environment: dict[str, str]) -> dict[str, Any]:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


@pytest.fixture
def key(server: LocalServer) -> str:
    return Secrets.of(server.state / "secrets.json").signing_key


@pytest.mark.parametrize(
    "resource",
    ["https://management.azure.com", "https://management.core.windows.net/", "https://ml.azure.com"],
)
def test_a_token_for_the_public_cloud_is_accepted(
    server: LocalServer, environment: dict[str, str], resource: str
) -> None:
    token = DefaultAzureCredential().get_token(f"{resource}/.default").token
    assert _get(server, WORKSPACE, token).status_code == 200


def test_a_token_of_when_the_clock_was_ahead_is_accepted_once_it_is_set_back(
    server: LocalServer, environment: dict[str, str]
) -> None:
    server.admin("clock", {"seconds": 3600})
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    server.admin("reset", {"kinds": ["clock"]})
    assert _get(server, WORKSPACE, token).status_code == 200


def test_without_a_token_the_answer_is_resource_managers_own_401(
    server: LocalServer, environment: dict[str, str]
) -> None:
    answer = _get(server, WORKSPACE, None)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "AuthenticationFailed")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["x-ms-correlation-request-id"]
    assert error["message"]
    assert error.keys() == {"code", "message"}
    assert answer.headers["x-ms-failure-cause"] == "gateway"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aud": "https://graph.microsoft.com"}, "InvalidAuthenticationTokenAudience"),
        ({"aud": "https://localhost:1"}, "InvalidAuthenticationTokenAudience"),
        ({"exp": 1}, "ExpiredAuthenticationToken"),
        ({"exp": None}, "ExpiredAuthenticationToken"),
        ({"nbf": 2**40}, "InvalidAuthenticationToken"),
        ({"nbf": None}, "InvalidAuthenticationToken"),
        ({"iss": "https://sts.windows.net/another/"}, "InvalidAuthenticationTokenTenant"),
        ({"iss": None}, "InvalidAuthenticationTokenTenant"),
    ],
)
def test_a_token_of_wrong_claims_is_refused(
    server: LocalServer, claims: dict[str, Any], key: str, change: dict[str, Any], code: str
) -> None:
    changed = {name: value for name, value in (claims | change).items() if value is not None}
    answer = _get(server, WORKSPACE, jwt.encode(changed, key, algorithm="HS256"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_a_token_of_another_signature_is_refused(
    server: LocalServer, claims: dict[str, Any], key: str
) -> None:
    for token in (
        jwt.encode(claims, "x" * 64, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, key, algorithm="HS384"),
        "no.token.at-all",
        "",
    ):
        assert _get(server, WORKSPACE, token).status_code == 401


def test_a_token_needs_the_identity_header(server: LocalServer, environment: dict[str, str]) -> None:
    url = os.environ["IDENTITY_ENDPOINT"]
    for headers in ({}, {"X-IDENTITY-HEADER": "wrong"}):
        answer = requests.get(
            url, params={"resource": "https://ml.azure.com"}, headers=headers, timeout=PATIENCE
        )
        assert answer.status_code == 401
    right = {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}
    assert requests.get(url, headers=right, timeout=PATIENCE).status_code == 400


def test_admin_routes_need_the_admin_secret(server: LocalServer, environment: dict[str, str]) -> None:
    for headers in ({}, {"X-Admin-Secret": "wrong"}, {"X-Admin-Secret": "é".encode().decode("latin-1")}):
        assert (
            requests.get(f"{server.url}/admin/ledger", headers=headers, timeout=PATIENCE).status_code == 401
        )
    assert server.admin("ledger")["running"] == 0


def test_the_case_of_a_paths_fixed_parts_does_not_matter(
    server: LocalServer, environment: dict[str, str]
) -> None:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    path = WORKSPACE.replace("resourceGroups", "resourcegroups").replace("Microsoft", "microsoft")
    answer = _get(server, path + "/DATASTORES", token)
    assert answer.json() == _get(server, WORKSPACE + "/datastores", token).json()
    assert len(answer.json()["value"]) >= 2


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (WORKSPACE + "x", "ResourceNotFound"),
        (WORKSPACE.replace("/local/", "/other/"), "ResourceGroupNotFound"),
        (WORKSPACE.replace("-000000000001", "-000000000002"), "SubscriptionNotFound"),
        (WORKSPACE + "/nothings", "InvalidResourceType"),
    ],
)
def test_what_is_not_here_is_not_found(
    server: LocalServer, environment: dict[str, str], path: str, code: str
) -> None:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    answer = _get(server, path, token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"properties": []}', 400),
        (b'{"properties": {"computeType": {}}}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b" " * (8 * 2**20 + 1), 413),
    ],
)
def test_a_strange_body_is_refused_with_a_message(
    server: LocalServer, environment: dict[str, str], content: bytes, status: int
) -> None:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    answer = requests.put(
        f"{server.url}{WORKSPACE}/computes/strange",
        content,
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE,
    )
    assert answer.status_code == status
    assert answer.json()["error"]["message"]

"""The admin interface: its schema holds for its answers, its documentation is whole, resets are by kind."""

from __future__ import annotations

import re
from typing import Any
from urllib.error import HTTPError

import pytest
from jsonschema import Draft202012Validator

from azureml_local.state import documents, faults
from azureml_local.state.areas import Area, kinds
from azureml_local.state.document import Kind
from azureml_local.wire.admin import CALLS
from tests.conftest import LocalServer
from tests.support.checkout import ROOT

DOCUMENTED = (ROOT / "docs" / "local-workspace.md").read_text(encoding="utf-8")
# A body for each call that changes nothing of the session's workspace.
BODIES: dict[str, Any] = {
    "/admin/reset": {"kinds": []},
    "/admin/operations/step": {"id": "none"},
    "/admin/endpoint-names": {"name": "taken-by-others"},
    "/admin/faults": [],
    "/admin/permissions": {"roles": "owner"},
    "/admin/clock": {"seconds": 0},
    "/admin/snapshots/load": {"name": "nothing-of-the-kind"},
}
# There is no such operation and no such snapshot.
REFUSED = {"/admin/operations/step": "404", "/admin/snapshots/load": "404"}


# A snapshot needs a workspace where no job runs: examples/suite takes one.
ASKED = [call for call in CALLS if call.path != "/admin/snapshots/save"]


@pytest.mark.parametrize("call", ASKED, ids=lambda call: f"{call.method} {call.path}")
def test_what_it_takes_and_answers_is_as_the_schema_says(call: Any, server: LocalServer) -> None:
    operation = server.admin("schema")["paths"][call.path][call.method.lower()]
    body = BODIES[call.path] if call.asks is not None else None
    if body is not None:
        check(body, operation["requestBody"])
    if (refused := REFUSED.get(call.path)) is not None:
        with pytest.raises(HTTPError, match=refused):
            server.admin(call.path.removeprefix("/admin/"), body)
        return
    check(server.admin(call.path.removeprefix("/admin/"), body), operation["responses"]["200"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("reset", {"kinds": ["job"]}),
        ("reset", {"kinds": "jobs"}),
        ("snapshots/save", {"name": "../elsewhere"}),
        ("snapshots/load", {}),
        ("faults", {"rules": []}),
    ],
)
def test_what_the_schema_refuses_is_refused(path: str, body: Any, server: LocalServer) -> None:
    content = server.admin("schema")["paths"][f"/admin/{path}"]["post"]["requestBody"]["content"]
    assert not Draft202012Validator(content["application/json"]["schema"]).is_valid(body)
    with pytest.raises(HTTPError, match="400"):
        server.admin(path, body)


@pytest.mark.parametrize("kind", faults.KINDS)
def test_the_schema_has_every_kind_of_fault(kind: str) -> None:
    (asks,) = (call.asks for call in CALLS if (call.method, call.path) == ("POST", "/admin/faults"))
    assert asks is not None
    rule: dict[str, Any] = {"kind": kind, "path": "jobs/*", "nth": 2, "count": None}
    needs = {"delay": {"seconds": 0.5}, "held-name": {"seconds": 1.0}}.get(kind, {})
    validator = Draft202012Validator(asks)
    assert validator.is_valid([rule | needs]) == _is_rule(rule | needs)
    assert not validator.is_valid([rule | {"unheard-of": 1}])


def _is_rule(rule: dict[str, Any]) -> bool:
    try:
        return bool(faults.parse([rule]))
    except faults.BadRule:
        return False


def test_every_call_is_documented() -> None:
    named = set(re.findall(r"^\| `(GET|POST) (/admin/\S+)` \|", DOCUMENTED, re.MULTILINE))
    assert named == {(call.method, call.path) for call in CALLS}
    for area in Area:
        assert f"`{area}`" in DOCUMENTED


def test_every_kind_of_documents_belongs_to_an_area() -> None:
    known = {kind.name for kind in vars(documents).values() if isinstance(kind, Kind)}
    known |= {
        documents.assets(collection, registry=registry).name
        for collection in documents.COLLECTIONS
        for registry in (False, True)
    }
    assert known - set(kinds(Area)) == set()


def test_a_part_is_reset_and_the_rest_stays(server: LocalServer, ml_client: Any) -> None:
    from azure.ai.ml.entities import Environment

    image = "docker.io/library/python:3.12"
    ml_client.environments.create_or_update(Environment(name="left-alone", version="1", image=image))
    server.admin("endpoint-names", {"name": "taken-for-good"})
    server.admin("reset", {"kinds": ["operations", "faults"]})
    assert ml_client.environments.get("left-alone", version="1").image == image


def check(body: Any, described: dict[str, Any]) -> None:
    Draft202012Validator(described["content"]["application/json"]["schema"]).validate(body)

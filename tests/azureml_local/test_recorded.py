"""What Azure was recorded to answer, asked again of the local workspace: tests/azureml_local/recorded/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.settings import Settings
from tests.conftest import LetFail, LocalServer
from tests.support.waiting import PATIENCE, until

FILE = Path(__file__).parent / "recorded" / "exchanges.json"
EXCHANGES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["exchanges"]

# Where the local workspace does otherwise, by exchange: the key's path, and why.
EXCEPTIONS = {
    "a component is kept": {
        ".properties.componentSpec.$schema": "azure-ai-ml 1.35 stops at the one that was added in 2022"
    },
    "the registry": {
        ".properties.managedResourceGroupTags": "of the version of 2022: that of 2024-04-01 has none"
    },
}


@dataclass(frozen=True)
class Asked:
    """A workspace that is asked, and what the record's placeholders stand for."""

    server: LocalServer
    session: requests.Session
    names: dict[str, str]

    def prepare(self, request: dict[str, Any]) -> requests.Response:
        """What was there before: its answer, once it is as the request waits for it."""
        path, _, wanted = request.get("until", "").partition(" is ")
        answer = until(lambda: self.once(request, path, wanted)) if path else self.send(request, None)
        assert answer.ok, answer.text
        for name, where in request.get("take", {}).items():
            self.names[name] = at(where, answer.json())
        return answer

    def once(self, request: dict[str, Any], path: str, wanted: str) -> requests.Response | None:
        answer = self.send(request, None)
        return answer if at(path, answer.json()) == wanted else None

    def send(self, request: dict[str, Any], before: requests.Response | None) -> requests.Response:
        path = self.filled(request["path"])
        if path == "Azure-AsyncOperation":
            assert before is not None
            return self.session.get(before.headers[path], timeout=PATIENCE)
        address = f"{self.server.url}{path}{'&' if '?' in path else '?'}api-version=2024-04-01"
        body = json.loads(self.filled(json.dumps(request["body"]))) if "body" in request else None
        return self.session.request(request["method"], address, json=body, timeout=PATIENCE)

    def filled(self, text: str) -> str:
        for placeholder, name in self.names.items():
            text = text.replace(placeholder, name)
        settings = Settings(Path(), 0)
        paths = {
            "HISTORY": f"/history/v1.0{settings.workspace_arm_id}",
            "REG": settings.registry_arm_id,
            "WS": settings.workspace_arm_id,
        }
        return re.sub(r"(?<![A-Z])(HISTORY|REG|WS)(?=[/x?\\]|$)", lambda match: paths[match[0]], text)

    def differences(self, wanted: Any, found: Any, path: str = "", *, within: bool = False) -> Iterator[str]:
        """What is not as recorded; see the note in the file for what stands for what."""
        if wanted == "*":
            return
        if isinstance(wanted, dict) and isinstance(found, dict):
            keys = wanted.keys() if within else wanted.keys() | found.keys()
            for key in sorted(keys):
                if key not in found or key not in wanted:
                    yield f"{path}.{key} is {'missing' if key not in found else 'beside what was recorded'}"
                else:
                    yield from self.differences(wanted[key], found[key], f"{path}.{key}", within=within)
        elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
            for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
                yield from self.differences(one, other, f"{path}[{number}]", within=within)
        elif isinstance(wanted, str) and isinstance(found, str):
            text = self.filled(wanted)
            if not (re.fullmatch(text[1:], found) if text.startswith("~") else text == found):
                yield f"{path} is {found!r}, not {text!r}"
        elif wanted != found:
            yield f"{path} is {found!r}, not {wanted!r}"

    def check(self, what: str, wanted: dict[str, Any], answer: requests.Response) -> None:
        """Hold an answer against what was recorded of it."""
        assert answer.status_code == wanted["status"], answer.text
        found = {name: answer.headers.get(name) for name in wanted.get("headers", {})}
        assert list(self.differences(wanted.get("headers", {}), found)) == []
        assert [name for name in wanted.get("absent", ()) if name in answer.headers] == []
        if "text" in wanted:
            assert answer.text == wanted["text"]
        if "body" in wanted:
            known = EXCEPTIONS.get(what, {})
            differing = self.differences(
                wanted["body"], self.shown(wanted, answer.json()), within=wanted.get("within", False)
            )
            assert [each for each in differing if each.partition(" ")[0] not in known] == []

    def shown(self, wanted: dict[str, Any], document: Any) -> Any:
        """The document, or the row of a list that the record is about."""
        if "item" not in wanted:
            return document
        rows, name = document["value"], self.filled(wanted["item"])
        (row,) = (row for row in rows if row["name"] == name)
        assert not wanted.get("first") or rows[0] is row
        return row


def at(path: str, document: Any) -> Any:
    """What stands at such a path as `.value[0].name`; None where there is nothing."""
    for key, number in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        try:
            document = document[int(number) if number else key]
        except (LookupError, TypeError):
            return None
    return document


@pytest.fixture
def asked(server: LocalServer, environment: dict[str, str]) -> Iterator[Asked]:
    settings = Settings(server.state, 0)
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    unique = uuid4().hex[:10]
    names = {
        "<e>": f"e-{unique}",
        "<n>": f"n-{unique}",
        "<s>": f"s{unique}",
        "<sub>": settings.subscription_id,
        "<region>": settings.location,
    }
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        found = Asked(server, session, names)
        cluster = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2"}}
        found.send(
            {"method": "PUT", "path": "WS/computes/recorded-cluster", "body": {"properties": cluster}}, None
        )
        yield found
        gone = "WS/computes/recorded-cluster?underlyingResourceAction=Delete"
        for path in ("WS/onlineEndpoints/<e>", "WS/datastores/<s>", gone):
            found.send({"method": "DELETE", "path": path}, None)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange["what"])
def test_a_recorded_exchange_is_answered_as_recorded(
    asked: Asked, let_fail: LetFail, exchange: dict[str, Any]
) -> None:
    before = None
    for request in exchange.get("before", ()):
        before = asked.prepare(request)
    if faults := exchange.get("faults"):
        let_fail(*json.loads(asked.filled(json.dumps(faults))))
    asked.check(exchange["what"], exchange["response"], asked.send(exchange["request"], before))
    for pair in exchange.get("then", ()):
        asked.check(exchange["what"], pair["response"], asked.send(pair["request"], None))


def test_every_exception_is_of_an_exchange() -> None:
    assert EXCEPTIONS.keys() <= {exchange["what"] for exchange in EXCHANGES}


def test_the_order_of_a_components_inputs_is_the_services(asked: Asked) -> None:
    (kept,) = (each for each in EXCHANGES if each["what"] == "a component is kept")
    inputs = asked.send(kept["request"], None).json()["properties"]["componentSpec"]["inputs"]
    assert list(inputs) == list(kept["response"]["body"]["properties"]["componentSpec"]["inputs"])

"""Every exchange between a client in this process and the server, held against the contract as it happens."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from tasks.recording.tap import tapped
from tests.azureml_local.contract.deviations import Side, reason
from tests.azureml_local.contract.openapi import Contract, Operation

_REGISTRY_PREFIX = "/mferp/managementfrontend"


@dataclass(frozen=True, order=True)
class Explained:
    """A deviation that happened, with its reason."""

    operation: str
    side: str
    finding: str
    reason: str


@dataclass
class Tally:
    """Exchanges by operation, and what is wrong with them.

    `versions` are the api-versions that the SDK uses for an operation.
    """

    from_sdk: Counter[str] = field(default_factory=Counter)
    from_others: Counter[str] = field(default_factory=Counter)
    successful: Counter[str] = field(default_factory=Counter)
    versions: dict[str, set[str]] = field(default_factory=dict)
    explained: Counter[Explained] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another process has seen as well."""
        self.from_sdk += other.from_sdk
        self.from_others += other.from_others
        self.successful += other.successful
        for operation, versions in other.versions.items():
            self.versions.setdefault(operation, set()).update(versions)
        self.explained += other.explained
        self.unexplained += other.unexplained


class Recorder(Tally):
    """Holds exchanges against the contract, and tallies them."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.contract = contract

    def tally(self) -> Tally:
        """What was seen, without the documents."""
        return Tally(**{each.name: getattr(self, each.name) for each in fields(Tally)})

    def recording(self) -> AbstractContextManager[None]:
        """Look at every request that the `requests` library sends while the block runs."""
        return tapped(self.look_at)

    def look_at(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        """Hold one exchange with a server on this machine against the contract."""
        address = urlsplit(str(request.url))
        operation = self.contract.find(str(request.method), address.path.removeprefix(_REGISTRY_PREFIX))
        if address.hostname != "localhost" or operation is None:
            return
        self.successful[operation.id] += response.ok
        if "azsdk-python" in request.headers.get("User-Agent", ""):
            self._look_at_sdk(operation, request, dict(parse_qsl(address.query)), response.ok)
        else:
            self.from_others[operation.id] += 1
        body, headers = _json(response.content), dict(response.headers)
        for finding in self.contract.response_findings(operation, response.status_code, headers, body):
            self._note(operation, "response", finding)

    def _look_at_sdk(
        self, operation: Operation, request: requests.PreparedRequest, query: dict[str, str], accepted: bool
    ) -> None:
        self.from_sdk[operation.id] += 1
        self.versions.setdefault(operation.id, set()).add(query.get("api-version", "none"))
        if accepted:  # what was refused may well be wrong
            for finding in self.contract.request_findings(operation, query, _json(request.body)):
                self._note(operation, "request", finding)

    def _note(self, operation: Operation, side: Side, finding: str) -> None:
        why = reason(operation.id, side, finding)
        if why is None:
            self.unexplained.append(f"{operation.id} {side}: {finding}")
        else:
            self.explained[Explained(operation.id, side, finding, why)] += 1


def _json(content: Any) -> Any:
    """The document, None when there is none."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None

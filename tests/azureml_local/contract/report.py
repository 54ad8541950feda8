"""What of the contract the tests covered, and where it was not kept, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from starlette.routing import Match

from azureml_local.wire.app import GUARDED
from tests.azureml_local.contract.openapi import DOCUMENTS, Contract
from tests.azureml_local.contract.recorder import Recorder


def served(contract: Contract) -> frozenset[str]:
    """The operations of the documents that the server has."""
    return frozenset(
        operation.id for operation in contract.operations if _has(operation.method, operation.template)
    )


def summary(recorder: Recorder) -> str:
    """One line."""
    offered = served(recorder.contract)
    covered = [name for name in offered if recorder.successful[name]]
    return (
        f"{recorder.from_sdk.total()} exchanges with the SDK and {recorder.from_others.total()} with others, "
        f"{len(covered)} of the {len(offered)} operations that are served answered with success, "
        f"{len(recorder.explained)} deviations with a reason, {len(set(recorder.unexplained))} without"
    )


def markdown(recorder: Recorder) -> str:
    """The operations covered and not, with the versions clients use, and the deviations."""
    return "\n".join(_lines(recorder)) + "\n"


def _lines(recorder: Recorder) -> Iterator[str]:
    offered = served(recorder.contract)
    yield "# Azure ML's OpenAPI documents and what was said over the wire"
    yield ""
    yield f"Documents of version {DOCUMENTS.name} with {len(recorder.contract.operations)} operations."
    yield f"{summary(recorder)}."
    yield ""
    yield "| operation | from the SDK | from others | successful | the SDK's api-version |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for name in sorted(offered | recorder.from_sdk.keys() | recorder.from_others.keys()):
        counts = recorder.from_sdk[name], recorder.from_others[name], recorder.successful[name]
        versions = ", ".join(sorted(recorder.versions.get(name, ())))
        yield f"| {name} | {' | '.join(map(str, counts))} | {versions} |"
    yield ""
    yield "## Deviations"
    yield ""
    yield "| operation | side | what | times | why |"
    yield "| --- | --- | --- | ---: | --- |"
    for found, times in sorted(recorder.explained.items()):
        yield f"| {found.operation} | {found.side} | {found.finding} | {times} | {found.reason} |"
    for what in sorted(set(recorder.unexplained)):
        name, side, finding = re.split(r":? ", what, maxsplit=2)
        yield f"| {name} | {side} | {finding} | {recorder.unexplained.count(what)} | **none** |"


def _has(method: str, template: str) -> bool:
    path = re.sub(r"\{\w+\}", "x", template)
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in GUARDED)

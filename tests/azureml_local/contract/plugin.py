"""The contract is watched over by every test, where the documents are at hand."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.azureml_local.contract.openapi import DOCUMENTS, Contract
from tests.azureml_local.contract.recorder import Recorder

_RECORDER = pytest.StashKey[Recorder]()
_TALLY = "contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--contract-report",
        type=Path,
        metavar="FILE",
        help="write here which operations of Azure ML's OpenAPI documents the tests covered, and deviations",
    )


@pytest.fixture(scope="session")
def recorder(pytestconfig: pytest.Config) -> Iterator[Recorder | None]:
    """What looks at every exchange of the session; None without the documents."""
    if not DOCUMENTS.is_dir():
        yield None
        return
    made = pytestconfig.stash.setdefault(_RECORDER, Recorder(Contract.read()))
    with made.recording():
        yield made


@pytest.fixture(autouse=True)
def contract_kept(recorder: Recorder | None) -> Iterator[None]:
    """Fails a test in which a client or the server deviated from the documents without a known reason."""
    before = len(recorder.unexplained) if recorder else 0
    yield
    if recorder:
        assert recorder.unexplained[before:] == []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that reports, where several share the tests."""
    made = session.config.stash.get(_RECORDER, None)
    told: dict[str, bytes] | None = getattr(session.config, "workeroutput", None)
    if made is not None and told is not None:
        told[_TALLY] = pickle.dumps(made.tally())


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_testnodedown(node: Any) -> None:
    """Add what a process that shared the tests has seen."""
    told = getattr(node, "workeroutput", {}).get(_TALLY)  # a process that was lost has told nothing
    if told is not None:
        made = node.config.stash.setdefault(_RECORDER, Recorder(Contract.read()))
        made.add(pickle.loads(told))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what of the contract was covered, and write the report."""
    made = config.stash.get(_RECORDER, None)
    if made is None or not made.successful:
        return
    from tests.azureml_local.contract import report  # imports the server

    terminalreporter.write_line(f"OpenAPI contract: {report.summary(made)}")
    path: Path | None = config.getoption("--contract-report")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.markdown(made))
        terminalreporter.write_line(f"OpenAPI contract: see {path}")

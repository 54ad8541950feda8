"""The pytest plugin: a workspace for a session, as new for every test that uses it.

Installed with azureml-local, it costs a test suite nothing until a test asks for one of its fixtures. Under
pytest-xdist every worker has a session, and so a workspace, of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

    from azureml_local.served import LocalWorkspace

_MARK = "azureml_faults"
Faults = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting of the plugin."""
    parser.addini(
        "azureml_pace", "the pace of azureml-local's workspace: instant, real or manual", default="instant"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(*rules): these requests and steps of the local workspace fail while the test runs",
    )


@pytest.fixture(scope="session")
def azureml_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalWorkspace]:
    """The session's workspace, to which the environment leads from now on; nothing resets it.

    For fixtures of a session or a module: what they put in is kept for tests by `save` and `load`.
    """
    import azureml_local

    pace = request.config.getini("azureml_pace")
    with azureml_local.serve(tmp_path_factory.mktemp("azureml"), pace=pace) as workspace:
        yield workspace


@pytest.fixture
def azureml(request: pytest.FixtureRequest, azureml_session: LocalWorkspace) -> Iterator[LocalWorkspace]:
    """The session's workspace; it is reset after the test. The marker's fault rules are in force."""
    marks = list(request.node.iter_markers(_MARK))
    rules = [dict(rule) for mark in marks for rule in mark.args]
    if rules:
        azureml_session.set_faults(rules)
    yield azureml_session
    azureml_session.reset()


@pytest.fixture
def azureml_client(azureml: LocalWorkspace) -> MLClient:
    """azure-ai-ml's client of the workspace, signed in."""
    return azureml.client()


@pytest.fixture
def azureml_faults(azureml: LocalWorkspace) -> Faults:
    """Puts fault rules in force until the test ends, in the place of those before."""

    def put(*rules: Mapping[str, Any]) -> None:
        azureml.set_faults(rules)

    return put

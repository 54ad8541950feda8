"""What a run says beforehand: it warns, whatever else it meets, and never stops for it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from azureml_local.state import access
from flows.run.forewarning import forewarn
from tasks.azure.clients import Session
from tasks.base_model import BaseModelVersion, find_model
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.support.tiny_recipe import tiny_config

ACTION = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/delete"


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def base(session: Session, tiny: str) -> BaseModelVersion:
    return find_model.fn(session, tiny_config(Path("data")).base)


def test_an_action_that_no_role_allows_is_warned_of(
    session: Session, base: BaseModelVersion, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(Path("data"))
    with caplog.at_level(logging.WARNING, "finetune"):
        forewarn(session, config, base)
        assert caplog.messages == []
        runner, *others = access.documents(access.LEAST_PRIVILEGE)
        less = {**runner, "Actions": [each for each in runner["Actions"] if each != ACTION]}
        server.admin("permissions", {"roles": [less, *others]})
        try:
            forewarn(session, config, base)
        finally:
            server.admin("permissions", {"roles": access.LEAST_PRIVILEGE})
    (warning,) = caplog.messages
    assert ACTION in warning
    assert "deleting the endpoint" in warning


def test_what_cannot_be_looked_at_stops_nothing(
    session: Session, base: BaseModelVersion, let_fail: LetFail, caplog: pytest.LogCaptureFixture
) -> None:
    let_fail({"kind": "status", "path": "**/permissions", "status": 403, "code": "AuthorizationFailed"})
    with caplog.at_level(logging.INFO, "finetune"):
        forewarn(session, tiny_config(Path("data")), base)
    assert any("Not looked at beforehand: permissions" in message for message in caplog.messages)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

"""A result that Prefect has kept is believed only while the thing that it names is there."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.azure import clients
from tasks.core.reuse import Reused
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import UNSERVED

pytestmark = pytest.mark.slow


def test_a_job_that_was_deleted_is_trained_again(
    prefect_server: PrefectServer, server: LocalServer, config: MakeConfig, ml_client: Any
) -> None:
    from flows.finetune import finetune

    wanted = config("data.train.take=23", UNSERVED)
    first = finetune(wanted)
    assert first.job is not None
    kept = finetune(wanted)
    assert Reused(kind="job", name=first.job, run=first.run) in kept.reused
    created = ml_client.jobs.get(first.job).creation_context.created_at

    with server.as_owner():  # a person, in the studio: the run itself may not
        delete_job(first.job)
    second = finetune(wanted)
    assert second.job == first.job
    assert "job" not in {thing.kind for thing in second.reused}
    assert second.training_usd > 0
    assert ml_client.jobs.get(second.job).creation_context.created_at > created


def delete_job(name: str) -> None:
    """The SDK has no call for it; the studio has."""
    from azure.core.rest import HttpRequest

    session = sign_in.fn(Workspace())
    client = clients._pipeline(session.resource_manager, session.browser_login)
    address = f"{session.resource_manager}{session.workspace_id}/jobs/{name}?api-version=2024-04-01"
    client.send_request(HttpRequest("DELETE", address)).raise_for_status()

"""The automations: declared once however often they are declared, and heard at a webhook on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from prefect import flow
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Crashed, Failed, Running

from tests.support import loopback
from tests.support.checkout import ROOT
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

NAMES = {
    "finetune: a run has failed",
    "finetune: a budget is reached",
    "finetune: something is past its lease",
}
EVENTS = """
from flows.run import events
events.budget_reached("{run}", "tiny 40", "the budget of $1 is spent")
events.lease_ended("/subscriptions/x/onlineEndpoints/chat", "chat", "costs $4 an hour")
"""
QUOTED = 'the step "finetune" failed: out of memory'


@pytest.fixture(autouse=True)
def none_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete the automations after the test: other runs on the server crash on purpose."""
    yield
    if "prefect_server" in request.fixturenames:
        server: PrefectServer = request.getfixturevalue("prefect_server")
        with server.client() as client:
            for name in NAMES:
                for each in client.read_automations_by_name(name):
                    client.delete_automation(each.id)


def test_declaring_twice_makes_no_duplicates_and_respects_what_was_switched_off(
    prefect_server: PrefectServer,
) -> None:
    with listening() as (url, _):
        assert {each["change"] for each in declare(prefect_server, "--webhook", url)} <= {
            "created",
            "updated",
        }
    again = declare(prefect_server)
    assert {each["name"] for each in again} == NAMES
    assert {each["change"] for each in again} == {"unchanged"}

    with prefect_server.client() as client:
        (failed,) = client.read_automations_by_name("finetune: a run has failed")
        of_earlier = failed.model_copy(update={"name": "finetune: silent runs have crashed"})
        client.create_automation(AutomationCore.model_validate(of_earlier.model_dump(exclude={"id"})))
        changes = {"enabled": False}
        client.request("PATCH", "/automations/{id}", path_params={"id": failed.id}, json=changes)
    changed = {each["name"]: each for each in declare(prefect_server)}
    assert changed["finetune: silent runs have crashed"]["change"] == "deleted"
    assert changed["finetune: a run has failed"] == {
        "name": "finetune: a run has failed",
        "change": "unchanged",
        "enabled": False,
    }
    with prefect_server.client() as client:
        assert client.read_automations_by_name("finetune: silent runs have crashed") == []
        assert all(len(client.read_automations_by_name(name)) == 1 for name in NAMES)


def test_the_webhook_hears_of_failures_budgets_and_leases(prefect_server: PrefectServer) -> None:
    with listening() as (url, heard):
        declare(prefect_server, "--webhook", url)
        with prefect_server.client() as client:
            run = client.create_flow_run(flow(name="finetune")(print), name="tiny 40", state=Running())
            other = client.create_flow_run(flow(name="not-ours")(print), state=Running())
            client.set_flow_run_state(other.id, Failed(message="somebody else's"))
            client.set_flow_run_state(run.id, Failed(message=QUOTED))
            # A failure is told once, however often it comes; one of a spent budget is told as that.
            client.set_flow_run_state(run.id, Running(), force=True)
            client.set_flow_run_state(run.id, Crashed(message="again"), force=True)
            spent = client.create_flow_run(flow(name="finetune")(print), name="tiny 41", state=Running())
            client.set_flow_run_state(spent.id, Failed(message="Budget reached at train: $1 is spent"))
        # In a process of its own, as a run is: Prefect goes on telling the server that a process told first.
        subprocess.run(
            [sys.executable, "-c", EVENTS.format(run=run.id)],
            cwd=ROOT,
            env=prefect_server.environment,
            check=True,
            timeout=PATIENCE,
        )
        until(lambda: len(heard) >= 3, "the webhook has not heard three times")
    assert sorted((each["event"], each["text"]) for each in heard) == [
        ("finetune.budget-reached", "tiny 40: the budget of $1 is spent"),
        ("finetune.lease-ended", "chat: costs $4 an hour"),
        ("prefect.flow-run.Failed", f"tiny 40: {QUOTED}"),
    ]


def test_without_a_server_the_command_says_which_setting_is_missing(tmp_path: Any) -> None:
    done = run_command({"PREFECT_HOME": str(tmp_path)}, ())
    assert done.returncode == 1
    assert "PREFECT_API_URL" in done.stderr
    assert "Traceback" not in done.stderr


def declare(server: PrefectServer, *options: str) -> list[dict[str, Any]]:
    """What `finetune automations --json` prints."""
    done = run_command(server.environment, ("--json", *options))
    assert done.returncode == 0, done.stderr
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


def run_command(environment: dict[str, str], options: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.terminal.cli", "automations", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback: its address, and the bodies that it has been sent so far."""
    heard: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    with loopback.serving(Webhook) as port:
        yield f"http://127.0.0.1:{port}/hook", heard

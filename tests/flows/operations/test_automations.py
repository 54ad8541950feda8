"""The automations: declared once however often they are declared, and heard at a webhook on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect import flow
from prefect.states import Failed, Running

from tests.support.checkout import ROOT
from tests.support.prefect_server import Server, until

pytestmark = pytest.mark.slow

NAMES = {
    "finetune: silent runs have crashed",
    "finetune: crashed runs go on",
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


def test_declaring_twice_makes_no_duplicates_and_respects_what_was_switched_off(
    prefect_process: Server,
) -> None:
    with listening() as (url, _):
        assert {each["change"] for each in declare(prefect_process, "--webhook", url)} <= {
            "created",
            "updated",
        }
    again = declare(prefect_process)
    assert {each["name"] for each in again} == NAMES
    assert {each["change"] for each in again} == {"unchanged"}

    with prefect_process.client() as client:
        (silent,) = client.read_automations_by_name("finetune: silent runs have crashed")
        client.request("PATCH", "/automations/{id}", path_params={"id": silent.id}, json={"enabled": False})
    changed = {each["name"]: each for each in declare(prefect_process, "--silent-seconds", "600")}
    assert changed["finetune: silent runs have crashed"] == {
        "name": "finetune: silent runs have crashed",
        "change": "updated",
        "enabled": False,
    }
    with prefect_process.client() as client:
        (updated,) = client.read_automations_by_name("finetune: silent runs have crashed")
        assert (updated.id, updated.enabled) == (silent.id, False)
        assert updated.trigger.within.total_seconds() == 600  # type: ignore[union-attr]
        assert all(len(client.read_automations_by_name(name)) == 1 for name in NAMES)


def test_the_webhook_hears_of_failures_budgets_and_leases(prefect_process: Server) -> None:
    with listening() as (url, heard):
        declare(prefect_process, "--webhook", url)
        with prefect_process.client() as client:
            run = client.create_flow_run(flow(name="finetune")(print), name="tiny 40", state=Running())
            other = client.create_flow_run(flow(name="not-ours")(print), state=Running())
            client.set_flow_run_state(other.id, Failed(message="somebody else's"))
            client.set_flow_run_state(run.id, Failed(message=QUOTED))
        # In a process of its own, as a run is: Prefect goes on telling the server that a process told first.
        subprocess.run(
            [sys.executable, "-c", EVENTS.format(run=run.id)],
            cwd=ROOT,
            env=prefect_process.environment,
            check=True,
            timeout=120,
        )
        until(lambda: len(heard) >= 3, 120, "the webhook has not heard three times")
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


def declare(server: Server, *options: str) -> list[dict[str, Any]]:
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
        timeout=120,
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

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Roll-outs behind a lasting endpoint, beside a client that asks all the time: what it loses, what stays."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from examples.patient_client import patient
from tasks import endpoint as endpoints
from tasks.azure import clients, sizes
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.core.lease import Lease
from tasks.core.stage import StageEvent, observing
from tasks.core.stages import Stage
from tasks.deploy import Deploy, Probe, Rollout, Wanted, deploy_model
from tasks.invoke import Invoke, Message, request
from tasks.job.wait import TrainedJob
from tasks.reap import settle_rollouts
from tasks.rollout.rollout import RolledOut, begin, roll_out
from tasks.rollout.turn import Phase, Turn, hold, settle
from tests.support.failures import fails
from tests.support.flow_clock import FlowClock
from tests.support.waiting import PATIENCE, until

T4 = "Standard_NC4as_T4_v3"
PROBE = Probe(initial_delay=1, period=1, timeout=60, failure_threshold=600)
ROLLOUT = Rollout(probes=3, step_minutes=1, grace_minutes=1)
JOB = TrainedJob(name="job", output="", studio_url="", queued=0, provisioning=0, running=0, cost=0, steps=())
QUESTION = request((Message(role="user", content="probe"),), Invoke())

# An MLflow model that answers with a word. Where it is asked by a client and has a file to make, it makes it
# and is gone; while there is that file it does not start again.
MODEL = """
import json, os
from pathlib import Path

class Word:
    def __init__(self, word, dies):
        self.word, self.dies = word, Path(dies) if dies else None

    def predict(self, model_input, params=None):
        if self.dies and list(model_input["input_string"])[-1]["content"] == "client":
            self.dies.touch()
            os._exit(3)
        return {"output": self.word}

def _load_pyfunc(path):
    found = Word(**json.loads(Path(path).read_text()))
    if found.dies and found.dies.exists():
        os._exit(3)
    return found
"""
MLMODEL = "flavors: {python_function: {loader_module: word, code: code, data: word.json, env: {}}}\n"


@pytest.fixture
def name(session: Session) -> Iterator[str]:
    chosen = f"e-{uuid4().hex[:10]}"
    yield chosen
    if endpoints.find(session, chosen) is not None:
        clients.workspace(session).online_endpoints.begin_delete(chosen).result()


@pytest.mark.slow
def test_no_request_is_lost_while_deployments_take_turns_and_one_of_them_crashes(
    session: Session, name: str, flow_clock: FlowClock, tmp_path: Path
) -> None:
    deploy = Deploy(
        mode="serve", endpoint=name, instance_type=T4, liveness=PROBE, readiness=PROBE, rollout=ROLLOUT
    )
    models = Models(session, deploy, tmp_path)
    first = models.rolled_out("one", run="run-1")
    assert (first.deployment, first.replaced) == ("demo-one", None)
    assert traffic(session, name) == {"demo-one": 100}

    with asking(session, name) as client:
        client.for_a_while()
        with observing(after_probes(client.for_a_while, 10, 50, 100)):
            second = models.rolled_out("two", run="run-2")
    assert second.replaced == "demo-one"
    assert [probed.share for probed in second.probes] == [0, 10, 10, 50, 50, 100, 100]
    assert behind(session, name) == {"demo-two"}
    assert traffic(session, name) == {"demo-two": 100}
    assert set(client.answers) == {"one", "two"}
    assert (client.lost, client.again) == (0, 0)

    # The third is gone with the first request that a client sends it, at 10 % of the traffic.
    gone = tmp_path / "gone"
    with asking(session, name) as client:
        at_10 = observing(after_probes(lambda: until(gone.exists), 10))
        with at_10, fails(Cause.ANSWER, "demo-three", "taken back at 10 %"):
            models.rolled_out("three", run="run-3", dies=str(gone))
        assert settle_rollouts(session, "run-3") == [name]
        client.for_a_while()
    assert behind(session, name) == {"demo-two"}
    assert traffic(session, name) == {"demo-two": 100}
    assert set(client.answers) == {"two"}
    assert client.lost == 0
    assert client.again > 0  # what the crash has cost is a second attempt, and no answer

    # What serves already is not rolled out again.
    assert models.begun("two", run="run-4").done
    assert settle_rollouts(session, "run-4") == [name]
    assert behind(session, name) == {"demo-two"}
    assert Turn.read(endpoints.find(session, name).tags) is None


def test_what_a_lost_run_leaves_is_put_right_by_the_next_and_by_the_reaper(
    session: Session, name: str, lease: Lease
) -> None:
    def left(phase: Phase, minutes: float) -> Turn:
        """An endpoint in the midst of a roll-out, whose deployments have never been made."""
        turn = Turn(run="lost", until=datetime.now(UTC), new="new", old=None).renewed(minutes, phase)
        tags = {**lease.extended(None).tags(), **turn.on({})}
        assert endpoints.create(session, name, "", tags) or True
        endpoints.change(session, name, lambda found: endpoints.Change.of(found, turn.on(found.tags)))
        return turn

    left(Phase.ROLLING, minutes=5)
    assert settle_rollouts(session) == []
    left(Phase.ROLLING, minutes=-5)
    assert settle_rollouts(session) == [name]
    assert Turn.read(endpoints.find(session, name).tags) is None


def test_a_run_waits_for_its_turn(session: Session, name: str, lease: Lease, flow_clock: FlowClock) -> None:
    other = Turn(run="other", until=datetime.now(UTC), new="new").renewed(60)
    kept = lease.extended(None)
    endpoints.create(session, name, "", other.on(kept.tags()))
    deploy = Deploy(mode="serve", endpoint=name, instance_type=T4)
    wanted = Wanted(name="demo-1", model="any", size=sizes.find(session, T4))

    flow_clock.at(3, lambda: settle(session, name, other))
    begun = begin.fn(session, deploy, JOB, wanted, lease)
    assert flow_clock.now >= 3 * 60
    assert begun.turn.run == lease.run
    with fails(Cause.IN_USE, lease.run):  # whoever has lost it changes nothing
        hold(session, name, other, {"new": 100})


@pytest.mark.parametrize(("phase", "stays", "goes"), [(Phase.ROLLING, "a", "b"), (Phase.PROMOTED, "b", "a")])
def test_the_phase_says_which_deployment_stays(phase: Phase, stays: str, goes: str) -> None:
    turn = Turn(run="r", until=datetime.now(UTC), old="a", new="b", phase=phase)
    read = Turn.read(turn.on({"mine": "1"}))
    assert read is not None
    assert (read.stays, read.goes) == (stays, goes)
    assert turn.model_copy(update={"old": "b"}).goes is None  # it serves what was wanted already


@dataclass(frozen=True)
class Models:
    """Makes models that answer a word, and rolls them out."""

    session: Session
    deploy: Deploy
    folder: Path

    def begun(self, word: str, run: str, dies: str = "") -> Any:
        lease = Lease.of_run(run, hours=1)
        return begin.fn(self.session, self.deploy, JOB, self._wanted(word, dies), lease)

    def rolled_out(self, word: str, run: str, dies: str = "") -> RolledOut:
        lease, wanted = Lease.of_run(run, hours=1), self._wanted(word, dies)
        rolling = begin.fn(self.session, self.deploy, JOB, wanted, lease)
        deploy_model.fn(self.session, self.deploy, rolling.endpoint, wanted, lease)
        done = roll_out.fn(self.session, self.deploy.rollout, rolling, (QUESTION,) * 3)
        endpoints.change(
            self.session,
            rolling.endpoint.name,
            lambda found: endpoints.Change.of(found, lease.extended(None).on(found.tags)),
        )
        return done

    def _wanted(self, word: str, dies: str) -> Wanted:
        from azure.ai.ml.entities import Model

        folder = self.folder / word
        models, name = clients.workspace(self.session).models, f"{self.deploy.endpoint}-{word}"
        if folder.exists():
            made = models.get(name, version="1")
        else:
            (folder / "code").mkdir(parents=True)
            (folder / "code" / "word.py").write_text(MODEL)
            (folder / "word.json").write_text(json.dumps({"word": word, "dies": dies}))
            (folder / "MLmodel").write_text(MLMODEL)
            made = models.create_or_update(
                Model(name=name, version="1", path=str(folder), type="mlflow_model")
            )
        return Wanted(name=f"demo-{word}", model=made.id, size=sizes.find(self.session, T4))


@dataclass
class Client:
    """The documentation's client, which asks one question after the other by the endpoint's traffic."""

    address: str
    key: str
    answers: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    again: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        body = request((Message(role="user", content="client"),), Invoke())
        headers = {"Authorization": f"Bearer {self.key}"}
        with patient() as session:
            while not self.ended.is_set():
                try:
                    answer = session.post(self.address, json=body, headers=headers, timeout=PATIENCE)
                    answer.raise_for_status()
                except requests.RequestException:
                    self.lost += 1
                    continue
                self.answers[answer.json()["output"]] += 1
                retries: Any = answer.raw.retries
                self.again += len(retries.history)

    def for_a_while(self) -> None:
        """Let it be answered some more."""
        wanted = self.answers.total() + 25
        until(lambda: self.answers.total() >= wanted)


@contextmanager
def asking(session: Session, name: str) -> Iterator[Client]:
    endpoint = clients.workspace(session).online_endpoints
    client = Client(endpoint.get(name).scoring_uri, endpoint.get_keys(name).primary_key)
    thread = threading.Thread(target=client.ask)
    thread.start()
    try:
        yield client
    finally:
        client.ended.set()
        thread.join()


def after_probes(act: Callable[[], object], *shares: int) -> Callable[[StageEvent], None]:
    """Does it each time that the new deployment has been asked at one of these shares."""

    def seen(event: StageEvent) -> None:
        if event.stage is Stage.ROLL_OUT and any(f" at {share} %: " in event.detail for share in shares):
            act()

    return seen


def traffic(session: Session, name: str) -> dict[str, int]:
    return {each: share for each, share in endpoints.find(session, name).traffic.items() if share}


def behind(session: Session, name: str) -> set[str]:
    return {each.name for each in clients.workspace(session).online_deployments.list(name)}

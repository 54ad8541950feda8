"""The smoke against the local workspace: all checks, what it refuses, what it leaves, what it records."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.azure import listing, sizes
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.recording.compare import differences
from tasks.recording.exchange import Recording
from tasks.recording.recorder import Recorder
from tasks.smoke import run
from tasks.smoke.plan import ENVIRONMENT, SIZE, Plan, planned
from tasks.smoke.run import CHECKS, Smoke, smoke
from tests.conftest import LetFail
from tests.support.failures import fails

Run = Callable[..., tuple[Smoke, Recording]]


@pytest.fixture
def plan(session: Session) -> Plan:
    return planned(sizes.find(session, SIZE), ENVIRONMENT, 1.0)


@pytest.fixture
def attempt(session: Session, plan: Plan) -> Run:
    return lambda: smoke(session, plan, Recorder(), lambda check, detail: None)


@pytest.mark.slow
def test_every_check_passes_and_nothing_is_left(
    attempt: Run, session: Session, plan: Plan, tmp_path: Path
) -> None:
    done, recording = attempt()
    assert [(each.name, each.problem) for each in done.results if not each.passed] == []
    assert (done.passed, done.exit_code) == (True, 0)
    assert [each.problem for each in done.gone if each.problem] == []
    assert left(session, plan) == []
    assert 0 < done.dollars < plan.worst < 1

    own = {session.subscription_id, session.workspace, plan.run, plan.name, getpass.getuser(), plan.run[:8]}
    recording.write(tmp_path / "smoke.json", own)
    text = (tmp_path / "smoke.json").read_text()
    assert [name for name in own if f'"{name}"' in text or f":{name}" in text] == []
    assert "as it was written" not in text  # what the model and the steps said
    assert {each.step for each in recording.exchanges} > {"cluster", "run tree", "logs", "metrics", "scoring"}
    assert {each.service for each in recording.exchanges} == {"management", "runs", "storage", "scoring"}
    assert differences(Recording.read(tmp_path / "smoke.json"), recording) == []


@pytest.mark.slow
def test_a_check_that_fails_lets_the_others_go_on(
    attempt: Run, let_fail: LetFail, session: Session, plan: Plan
) -> None:
    let_fail({"kind": "step-failure", "path": "/jobs/*/**", "message": "no such module: smoke", "count": 1})
    done, _ = attempt()
    results = {each.name: each for each in done.results}
    assert not results["job"].passed
    assert "no such module: smoke" in results["job"].details
    assert results["registration"].skipped or results["registration"].problem
    assert results["deployment right after tags"].problem == "not tried: there is no model"
    assert results["the same name again"].passed
    assert (done.passed, done.exit_code) == (False, 1)
    assert left(session, plan) == []


@pytest.mark.slow
def test_a_refusal_that_passes_is_tried_again_and_counted(attempt: Run, let_fail: LetFail) -> None:
    said = "There is already an endpoint with this name, Endpoint name needs to be unique within a region."
    path = "onlineEndpoints/*"
    let_fail(
        {"kind": "status", "method": "PUT", "path": path, "nth": 4, "status": 400, "code": "BadRequest"}
        | {"message": said}
    )
    done, recording = attempt()
    (again,) = (each for each in done.results if each.name == "the same name again")
    assert again.passed, again.problem
    assert again.facts["refusals"] == 1
    (refused,) = (
        each for each in recording.exchanges if each.status == 400 and each.step == "the same name again"
    )
    assert refused.recognised.startswith("The endpoint's name is taken")
    assert said not in recording.model_dump_json()


def test_what_ends_it_deletes_everything_first(
    attempt: Run, session: Session, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(work: object) -> dict[str, float]:
        raise KeyboardInterrupt

    some = ("cluster", "endpoint")
    checks = [(name, check) for name, check in CHECKS if name in some]
    monkeypatch.setattr(run, "CHECKS", [*checks, ("a check", interrupted), *CHECKS])
    done, _ = attempt()
    assert [each.name for each in done.results] == list(some)
    assert (done.passed, done.exit_code) == (False, 130)
    assert {each.thing.split()[0]: each.proof[:3] for each in done.gone}["endpoint"] == "404"
    assert left(session, plan) == []


def test_what_cannot_be_deleted_is_said(attempt: Run, let_fail: LetFail, session: Session) -> None:
    refusal = {"kind": "status", "status": 403, "code": "AuthorizationFailed", "message": "you may not"}
    let_fail(
        {**refusal, "method": "DELETE", "path": "computes/*"}, {**refusal, "path": "codes/**", "count": 9}
    )
    done, _ = attempt()
    assert not done.is_clean
    problems = {each.thing.split()[0]: each.problem for each in done.gone if each.problem}
    assert set(problems) == {"cluster", "the"}
    assert "may not" in problems["cluster"]
    let_fail()
    assert listing.cluster(session, done.name) is not None
    from tasks import compute

    compute.remove(session, done.name, None)


@pytest.mark.parametrize("price", [None, 0.0])
def test_an_unknown_price_is_refused(session: Session, price: float | None) -> None:
    size = sizes.find(session, SIZE).model_copy(update={"price": price})
    with fails(Cause.BUDGET, SIZE, "--size"):
        planned(size, ENVIRONMENT, 1.0)


def test_what_could_cost_more_than_allowed_is_refused(session: Session, plan: Plan) -> None:
    with fails(Cause.BUDGET, f"${plan.worst:.2f}", "$0.20", "--max-usd"):
        planned(sizes.find(session, SIZE), ENVIRONMENT, 0.2)


def left(session: Session, plan: Plan) -> list[str]:
    """What of the smoke is still there."""
    things = [listing.cluster(session, plan.name), listing.endpoint(session, plan.name)]
    return [each.name for each in things if each is not None]

"""A stage: what it tries again, after which pause, and how it signs in anew."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from prefect import flow

from tasks.azure.failure import Cause
from tasks.core.stage import StageEvent, observing, stage
from tasks.core.stages import Stage
from tests.support.failures import fails
from tests.support.prefect_server import PrefectServer


def http(status: int, **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    return requests.HTTPError(f"{status}", response=response)


def failing(*errors: Exception) -> tuple[Callable[[], str], list[float]]:
    """A function that raises these, one at each call, and then succeeds; and the moments of its calls."""
    calls: list[float] = []
    left = list(errors)

    def call() -> str:
        calls.append(time.monotonic())
        if left:
            raise left.pop(0)
        return "done"

    return call, calls


@pytest.mark.parametrize(
    ("status", "calls"),
    [(408, 2), (429, 2), (500, 2), (503, 2), (400, 1), (403, 1), (404, 1), (409, 1)],
)
def test_only_what_a_retry_can_mend_is_tried_again(
    prefect_server: PrefectServer, status: int, calls: int
) -> None:
    function, made = failing(http(status))
    task = stage(Stage.SUBMIT, retries=2)(function).with_options(retry_delay_seconds=0, retry_jitter_factor=0)

    @flow(name="trial")
    def run() -> bool:
        return bool(task(return_state=True).is_completed())

    assert run() == (calls == 2)
    assert len(made) == calls


def test_the_pause_that_the_service_asks_for_is_kept(prefect_server: PrefectServer) -> None:
    function, made = failing(http(429, **{"Retry-After": "1.5"}))
    task = stage(Stage.SUBMIT, retries=1)(function).with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    assert flow(name="trial")(lambda: task())() == "done"
    assert made[1] - made[0] >= 1.5


def test_nobody_pauses_before_a_retry_that_will_not_be(prefect_server: PrefectServer) -> None:
    function, made = failing(http(429, **{"Retry-After": "100000"}))
    task = stage(Stage.SUBMIT, retries=0)(function)
    with fails(Cause.UNREACHABLE):
        flow(name="trial")(lambda: task())()
    assert len(made) == 1  # and this line is reached at all


def test_a_refused_token_is_renewed_once() -> None:
    function, made = failing(http(401))
    assert stage(Stage.SUBMIT)(function).fn() == "done"
    assert len(made) == 2


def test_a_token_refused_twice_is_a_failure_that_says_how_to_sign_in() -> None:
    function, made = failing(http(401), http(401))
    with fails(Cause.SIGN_IN, "az login") as raised:
        stage(Stage.SUBMIT)(function).fn()
    assert not raised.value.retryable
    assert len(made) == 2


def test_watchers_hear_the_failure_as_one_line() -> None:
    function, _ = failing(HttpResponseError("It is broken.\nAnd more."))
    heard: list[StageEvent] = []
    with observing(heard.append), fails(Cause.UNREACHABLE, "It is broken."):
        stage(Stage.SUBMIT)(function).fn()
    assert [each.state for each in heard] == ["running", "failed"]
    assert "\n" not in heard[-1].detail

"""Schedules: made, listed, disabled and deleted by the SDK; their jobs come when the clock says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest

from azureml_local.errors import BadRequest
from azureml_local.execution import trigger
from tests.conftest import LocalServer
from tests.support.waiting import until

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
PIPELINE = f"""
type: pipeline
experiment_name: scheduled
inputs: {{text: 'hello'}}
settings: {{default_compute: "azureml:serverless"}}
jobs:
  say:
    type: command
    command: echo "${{{{inputs.text}}}}"
    environment: {ENVIRONMENT}
    inputs: {{text: "${{{{parent.inputs.text}}}}"}}
"""
MONDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def name(ml_client: Any) -> Iterator[str]:
    """A name of no other schedule, which is disabled and deleted afterwards."""
    name = f"every-{uuid4().hex[:8]}"
    yield name
    ml_client.schedules.begin_disable(name).result()
    ml_client.schedules.begin_delete(name).result()


def pipeline(text: str = "hello") -> Any:
    """A job with one step that prints the text."""
    from azure.ai.ml import load_job

    return load_job(StringIO(PIPELINE.replace("hello", text)))


def schedule(name: str, when: Any, job: Any = None) -> Any:
    from azure.ai.ml.entities import JobSchedule

    return JobSchedule(name=name, trigger=when, create_job=job or pipeline())


def every_minute() -> Any:
    from azure.ai.ml.entities import CronTrigger

    return CronTrigger(expression="*/1 * * * *", time_zone="UTC")


def in_minutes(*minutes: int) -> Any:
    """So many minutes from now, once a day: the real time brings no job meanwhile."""
    from azure.ai.ml.entities import CronTrigger

    moments = [datetime.now(UTC) + timedelta(minutes=each) for each in minutes]
    of_hour, of_day = ({getattr(each, unit) for each in moments} for unit in ("minute", "hour"))
    expression = f"{','.join(map(str, of_hour))} {','.join(map(str, of_day))} * * *"
    return CronTrigger(expression=expression, time_zone="UTC")


def jobs_of(client: Any, name: str) -> list[str]:
    return [job.name for job in client.jobs.list(scheduled_job_name=name)]


def test_its_jobs_come_with_the_clock(ml_client: Any, server: LocalServer, name: str) -> None:
    server.admin("reset", {"kinds": ["clock"]})
    job, when = pipeline("${{name}} at ${{creation_context.trigger_time}}"), in_minutes(10)
    made = ml_client.schedules.begin_create_or_update(schedule(name, when, job)).result()
    assert (made.is_enabled, made.trigger.expression) == (True, when.expression)
    assert jobs_of(ml_client, name) == []
    server.admin("clock", {"seconds": 660})
    (submitted,) = until(lambda: jobs_of(ml_client, name))
    assert submitted.startswith(f"{name}-")
    assert submitted.endswith("00Z")
    found = ml_client.jobs.get(submitted)
    assert found.inputs["text"]._data.startswith(f"{submitted} at 20")
    assert found.experiment_name == "scheduled"


@pytest.mark.slow
def test_its_jobs_come_after_the_clock_was_set_back(ml_client: Any, server: LocalServer, name: str) -> None:
    ml_client.schedules.begin_create_or_update(schedule(name, every_minute())).result()
    server.admin("clock", {"seconds": 300})
    server.admin("reset", {"kinds": ["clock", "schedules"]})
    ml_client.schedules.begin_create_or_update(schedule(name, every_minute())).result()
    known = jobs_of(ml_client, name)
    server.admin("clock", {"seconds": 60})
    until(lambda: len(jobs_of(ml_client, name)) > len(known))


def test_a_job_that_is_there_is_scheduled_by_its_id(ml_client: Any, name: str) -> None:
    original = ml_client.jobs.create_or_update(pipeline())
    ml_client.schedules.begin_create_or_update(schedule(name, every_minute(), original.id)).result()
    job = ml_client.schedules.trigger(name).job_name
    assert list(ml_client.jobs.get(job).jobs) == ["say"]


def test_a_disabled_schedule_does_nothing_and_is_listed_apart(
    ml_client: Any, server: LocalServer, name: str
) -> None:
    server.admin("reset", {"kinds": ["clock"]})
    ml_client.schedules.begin_create_or_update(schedule(name, in_minutes(5, 15))).result()
    assert name in {each.name for each in ml_client.schedules.list()}
    ml_client.schedules.begin_disable(name).result()
    assert name not in {each.name for each in ml_client.schedules.list()}
    assert name in {each.name for each in ml_client.schedules.list(list_view_type="DisabledOnly")}
    server.admin("clock", {"seconds": 600})
    ml_client.schedules.begin_enable(name).result()
    server.admin("clock", {"seconds": 600})
    until(lambda: jobs_of(ml_client, name))
    assert len(jobs_of(ml_client, name)) == 1


def test_a_schedule_is_triggered_by_hand(ml_client: Any, name: str) -> None:
    from azure.ai.ml.entities import RecurrencePattern, RecurrenceTrigger
    from azure.core.exceptions import HttpResponseError

    when = RecurrenceTrigger(frequency="week", interval=1, schedule=RecurrencePattern(hours=3, minutes=15))
    ml_client.schedules.begin_create_or_update(schedule(name, when)).result()
    job = ml_client.schedules.trigger(name, schedule_time="2026-03-02T03:15:00+00:00").job_name
    assert job == f"{name}-20260302T031500Z"
    assert jobs_of(ml_client, name) == [job]
    with pytest.raises(HttpResponseError, match="Cannot delete an active trigger"):
        ml_client.schedules.begin_delete(name)


def test_a_schedule_that_is_not_there_is_not_found(ml_client: Any) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError, match="Resource Trigger none not found"):
        ml_client.schedules.get("none")
    ml_client.schedules.begin_delete("none").result()


def first(given: dict[str, Any], number: int = 3) -> list[str]:
    moments = trigger.read(given, MONDAY).after(MONDAY)
    return [moment.astimezone(UTC).isoformat()[:16] for moment in islice(moments, number)]


def cron(expression: str, **given: str) -> dict[str, Any]:
    return {"triggerType": "Cron", "expression": expression, **given}


def recurrence(frequency: str, interval: int, schedule: Any = None, **given: str) -> dict[str, Any]:
    about = {"triggerType": "Recurrence", "frequency": frequency, "interval": interval}
    return {**about, "schedule": schedule, **given}


@pytest.mark.parametrize(
    ("given", "moments"),
    [
        (cron("15 10 * * 1"), ["2026-03-09T10:15", "2026-03-16T10:15", "2026-03-23T10:15"]),
        # Days and months are not heeded.
        (cron("0 13 1 1 *"), ["2026-03-02T13:00", "2026-03-03T13:00", "2026-03-04T13:00"]),
        # Summer time begins on 8 March: the hour on the wall stays.
        (
            cron("0 4 * * 0,6", timeZone="Pacific Standard Time"),
            ["2026-03-07T12:00", "2026-03-08T11:00", "2026-03-14T11:00"],
        ),
        (
            cron("0 * * * *", startTime="2026-03-02 20:30:00", endTime="2026-03-02 22:00:00"),
            ["2026-03-02T21:00", "2026-03-02T22:00"],
        ),
        (recurrence("Hour", 5), ["2026-03-02T17:00", "2026-03-02T22:00", "2026-03-03T03:00"]),
        (
            recurrence("Week", 2, {"hours": [9], "minutes": [0, 30], "weekDays": ["Friday"]}),
            ["2026-03-06T09:00", "2026-03-06T09:30", "2026-03-20T09:00"],
        ),
        (
            recurrence("Month", 1, {"hours": [0], "minutes": [5], "monthDays": [1, 31]}),
            ["2026-03-31T00:05", "2026-04-01T00:05", "2026-05-01T00:05"],
        ),
        (
            recurrence("Day", 1, startTime="2026-03-05T07:00:00", timeZone="W. Europe Standard Time"),
            ["2026-03-05T06:00", "2026-03-06T06:00", "2026-03-07T06:00"],
        ),
    ],
)
def test_a_trigger_names_these_moments(given: dict[str, Any], moments: list[str]) -> None:
    assert first(given) == moments


@pytest.mark.parametrize(
    "given",
    [
        cron("* * *"),
        cron("61 * * * *"),
        cron("* * * * *", timeZone="Nowhere Standard Time"),
        cron("* * * * *", endTime="tomorrow"),
        recurrence("Fortnight", 1),
        recurrence("Day", 0),
        recurrence("Day", 1, {"hours": [1], "minutes": [0], "weekDays": ["Someday"]}),
        recurrence("Day", 1, {"hours": ["x"], "minutes": [0]}),
        {"triggerType": "Event"},
        None,
    ],
)
def test_a_trigger_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(BadRequest):
        list(islice(trigger.read(given, MONDAY).after(MONDAY + timedelta(days=1)), 1))

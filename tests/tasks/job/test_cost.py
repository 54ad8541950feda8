"""What a job has used: seconds by phase, and dollars by each step's nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.azure.run_history import Step
from tasks.compute import Cluster
from tasks.job import cost

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLUSTER = Cluster(name="c", size="s", gpus=1, nodes=4, price=3.6, created=False)  # a node-second is $0.001


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def step(began: float | None, ended: float | None, name: str = "import", nodes: int | None = None) -> Step:
    return Step(
        id=name,
        name=name,
        status="Completed" if ended is not None else "Running",
        started=None if began is None else at(began),
        ended=None if ended is None else at(ended),
        nodes=nodes,
    )


@pytest.mark.parametrize(
    ("spans", "running"),
    [
        ([], 0),
        ([(10, 40)], 30),
        ([(10, 40), (50, 60)], 40),
        ([(10, 40), (20, 50)], 40),  # side by side: counted once
        ([(10, 40), (15, 20)], 30),  # within another
        ([(50, 60), (10, 40)], 40),  # in whatever order
    ],
)
def test_time_counts_once_however_steps_overlap(spans: list[tuple[float, float]], running: float) -> None:
    found = cost.elapsed(BEGAN, [step(*span) for span in spans], 0, at(100))
    assert found.running == running
    assert found.queued == 100 - running


@pytest.mark.parametrize(("seen", "provisioning"), [(0, 0), (25, 25), (500, 70)])
def test_provisioning_is_a_part_of_the_time_waited(seen: float, provisioning: float) -> None:
    found = cost.elapsed(BEGAN, [step(70, 100)], seen, at(100))
    assert (found.provisioning, found.queued) == (provisioning, 70 - provisioning)


def test_a_job_without_a_creation_time_begins_with_its_first_step() -> None:
    assert cost.elapsed(None, [step(30, 40), step(20, 25)], 0, at(50)).model_dump() == {
        "queued": 15,
        "provisioning": 0,
        "running": 15,
    }


def test_a_creation_time_without_a_zone_is_utc() -> None:
    assert cost.elapsed(BEGAN.replace(tzinfo=None), [], 0, at(60)).queued == 60


@pytest.mark.parametrize(
    ("steps", "dollars"),
    [
        ([], 0),
        ([step(None, None)], 0),
        ([step(0, 1000)], 1),
        ([step(0, 1000), step(500, 1500)], 2),  # side by side they are paid for side by side
        ([step(0, 1000, "finetune")], 4),  # on all nodes of the cluster, until the service says on how many
        ([step(0, 1000, "fine-tune")], 4),
        ([step(0, 1000, "finetune", nodes=2)], 2),
        ([step(0, 1000, "import", nodes=3)], 3),
    ],
)
def test_a_step_costs_its_time_on_its_nodes(steps: list[Step], dollars: float) -> None:
    assert cost.dollars(steps, CLUSTER) == pytest.approx(dollars)


def test_the_last_step_ends_the_job() -> None:
    assert cost.ended([step(0, 10), step(5, 30), step(8, None)]) == at(30)
    assert cost.ended([step(0, None)]) is None

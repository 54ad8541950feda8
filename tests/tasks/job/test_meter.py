"""The dollars of a job, by what was seen of its cluster and by its steps' own times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.azure.nodes import ClusterNodes
from tasks.azure.run_history import Step
from tasks.compute import Cluster
from tasks.job.meter import Meter

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
IDLE = 120.0  # seconds
CLUSTER = Cluster(name="c", size="s", gpus=1, nodes=4, price=3.6, created=True)  # a node-second is $0.001


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def step(began: float | None, ended: float | None = None, nodes: int | None = 1, **more: object) -> Step:
    state = "Queued" if began is None else "Running" if ended is None else "Completed"
    found = {"id": f"{began}", "name": "import", "status": state, "nodes": nodes, "cluster": "c", **more}
    found["started"] = None if began is None else at(began)
    found["ended"] = None if ended is None else at(ended)
    return Step.model_validate(found)


def seen(seconds: float, *, running: int = 0, idle: int = 0, booting: int = 0, **more: float) -> ClusterNodes:
    """A look at the cluster; more are `least` nodes and the time at which their number `changed`."""
    return ClusterNodes(
        at=at(seconds),
        current=running + idle + booting,
        running=running,
        idle=idle,
        least=int(more.get("least", 0)),
        idle_seconds=IDLE,
        changed=at(more["changed"]) if "changed" in more else None,
    )


Looks = list[tuple[ClusterNodes, list[Step]]]


def bill(steps: list[Step], looks: Looks, until: float | None = None, **cluster: object) -> float:
    """Node-seconds: dollars, at a thousandth each."""
    meter = Meter(CLUSTER.model_copy(update=cluster))
    for nodes, then in looks:
        meter.look(nodes, then)
    found = meter.bill(steps, at(until or 0), until=None if until is None else at(until))
    return found.dollars * 1000


WAITING, RUNNING = [step(None)], [step(300)]


def test_a_job_that_waits_for_hours_costs_nothing() -> None:
    looks = [(seen(hour * 3600), WAITING) for hour in range(8)]
    assert bill(WAITING, looks, until=8 * 3600) == 0
    looks = [(seen(hour * 3600, running=4), WAITING) for hour in range(8)]  # of other jobs
    assert bill(WAITING, looks, until=8 * 3600) == 0
    looks = [(seen(hour * 3600, idle=2), WAITING) for hour in range(8)]  # left by other jobs
    assert bill(WAITING, looks, until=8 * 3600) == 0


def test_boot_image_and_idle_time_are_paid_for() -> None:
    looks = [
        (seen(0), WAITING),
        (seen(100, booting=1, changed=60), WAITING),
        (seen(200, running=1, changed=60), [step(None, status="Preparing")]),
        (seen(310, running=1, changed=60), RUNNING),
    ]
    assert bill(RUNNING, looks, until=310) == pytest.approx(250)
    assert bill([step(300, 1000)], looks) == pytest.approx(1000 - 60 + IDLE)
    assert bill([step(300, 1000)], looks, until=1010) == pytest.approx(1010 - 60)  # and the cluster deleted


def test_nodes_wait_for_the_next_step_and_boot_again_after_a_long_pause() -> None:
    assert bill([step(0, 100), step(150, 200)], [(seen(-1), WAITING)]) == pytest.approx(200 + IDLE)
    assert bill([step(0, 100), step(1000, 1100)], [(seen(-1), WAITING)]) == pytest.approx(200 + 2 * IDLE)


@pytest.mark.parametrize(
    ("steps", "node_seconds"),
    [
        ([], 0),
        ([step(None)], 0),
        ([step(0, 1000)], 1000 + IDLE),
        ([step(0, 1000, nodes=4)], 4 * (1000 + IDLE)),
        ([step(0, 1000, None, name="finetune")], 4 * (1000 + IDLE)),  # all, until the service says how many
        ([step(0, 1000), step(500, 1500)], 2 * (1000 + IDLE)),
        ([step(0, 100, nodes=4), step(100, 1000)], 4 * (100 + IDLE) + 900),
        ([step(0, 0.1, reused=True)], 0),
        ([step(0, 1000, cluster="another")], 1000),  # whose idle time is not known
    ],
)
def test_what_was_not_seen_is_priced_by_the_steps(steps: list[Step], node_seconds: float) -> None:
    assert bill(steps, [(seen(-1), WAITING)]) == pytest.approx(node_seconds)


def test_other_jobs_on_the_cluster_are_not_paid_for() -> None:
    looks = [(seen(moment, running=3, idle=2), [step(300)]) for moment in range(310, 1000, 10)]
    assert bill([step(300, 1000)], looks) == pytest.approx(700)


def test_nodes_that_others_have_left_or_that_a_cluster_keeps_are_not_paid_for() -> None:
    over = [step(300, 1000)]
    before = (seen(290, idle=3, least=1), WAITING)
    running = [(seen(moment, running=1, idle=2, least=1), RUNNING) for moment in range(310, 1000, 10)]
    after = [(seen(moment, idle=2, least=1), over) for moment in (1000, 1010)]
    assert bill(over, [before, *running], until=1000, created=False) == pytest.approx(700)
    assert bill(over, [before, *running, *after], until=1010, created=False) == pytest.approx(710)


def test_a_node_that_is_given_up_late_is_paid_for_as_long() -> None:
    over = [step(300, 1000)]
    looks = [(seen(290), WAITING), *((seen(moment, idle=1), over) for moment in range(1000, 1400, 10))]
    assert bill(over, [*looks, (seen(1410, changed=1400), over)]) == pytest.approx(1400 - 300, abs=10)


def test_what_began_unseen_is_said_to_be_the_least() -> None:
    meter = Meter(CLUSTER)
    assert meter.bill([step(300)], at(400)).at_least
    meter.look(seen(350, running=1), RUNNING)
    assert str(meter.bill([step(300, 4000)], at(4000))) == "at least $3.82"
    meter.created(at(300))  # by which nothing of it was missed
    assert str(meter.bill([step(300, 4000)], at(4000))) == "$3.82"
    early = Meter(CLUSTER)
    early.look(seen(0), WAITING)
    assert str(early.bill([step(300, 4000)], at(4000))) == "$3.82"
    assert str(early.bill(WAITING, at(4000))) == "$0.00"
    early.look(None, RUNNING)  # a look that told nothing changes nothing
    assert early.bill([step(300, 4000)], at(4000)).dollars == pytest.approx(3.82)


def test_a_cluster_that_tells_nothing_leaves_the_steps_times() -> None:
    meter = Meter(CLUSTER)
    meter.look(None, RUNNING)
    assert meter.bill([step(300, 1300)], at(1300)).dollars == pytest.approx(1.0)

"""The sweep: what its verdicts go by, and a sample of it that must leave nothing and pay nothing twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from tasks.azure.failure import Cause, Failure
from tests.support.prefect_server import PrefectServer
from tests.sweep import group, kinds, log
from tests.sweep.audit import Audit
from tests.sweep.kinds import Call, calls
from tests.sweep.process import HUNG
from tests.sweep.run import Ended, is_clear
from tests.sweep.sweep import cases, one_of_each, sweep
from tests.sweep.table import explain, judge, table
from tests.sweep.worker import Baseline, Case, Tried

SEED = 5
COMPLETED = Ended(completed=True, message="done", clear=True, stages=("sign in running",), seconds=1)
FAILED = replace(COMPLETED, completed=False, message="The quota is spent.")
HANGING = replace(FAILED, message=HUNG, clear=False)
NOTHING_LEFT = Audit(jobs=("job",), nodes=1, left=(), leaked=(), running=())
SURVIVED = Tried(Case("500", Call("GET", "/jobs/*", 2), 1), True, COMPLETED, None, NOTHING_LEFT, 2)
INTERRUPTED = Tried(
    Case(kinds.INTERRUPT, 3, 3), True, FAILED, COMPLETED, replace(NOTHING_LEFT, nodes=2, cancelled=1), 2
)
KILLED = Tried(Case(kinds.KILL, 3, 2), True, None, COMPLETED, NOTHING_LEFT, 2)


@pytest.mark.parametrize(
    ("tried", "names"),
    [
        (SURVIVED, {"survived"}),
        (KILLED, {"survived"}),
        (replace(SURVIVED, first=FAILED, second=COMPLETED), set()),
        (replace(SURVIVED, first=FAILED, second=FAILED), {"unclear"}),
        (replace(SURVIVED, first=replace(FAILED, clear=False), second=COMPLETED), {"unclear"}),
        (replace(SURVIVED, first=None, second=COMPLETED), {"unclear"}),
        (replace(KILLED, second=FAILED), {"unclear"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, left=("cluster c",))), {"survived", "left"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, leaked=("cluster c",))), {"survived", "leaked"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, touched=("jobs j",))), {"survived", "leaked"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, nodes=2)), {"survived", "paid_twice"}),
        (replace(SURVIVED, second=HANGING), {"survived", "unclear", "hung"}),
        (replace(SURVIVED, first=HANGING, second=COMPLETED, happened=False), {"unclear", "hung"}),
        (replace(SURVIVED, first=replace(COMPLETED, dollars=0.02)), {"survived", "dollars_off"}),
        (replace(SURVIVED, first=replace(COMPLETED, dollars=0.0004)), {"survived"}),
        (replace(KILLED, case=replace(KILLED.case, kind=kinds.TERM), first=FAILED), {"survived"}),
        (INTERRUPTED, {"survived"}),
        (replace(INTERRUPTED, billed=("node of j",)), {"leaked"}),
        (replace(INTERRUPTED, first=replace(FAILED, clear=False)), {"unclear"}),
        (replace(INTERRUPTED, second=FAILED), {"unclear"}),
        (replace(INTERRUPTED, first=COMPLETED, second=None), {"unclear"}),
        (replace(INTERRUPTED, case=Case(kinds.INTERRUPT, 1, 3), first=COMPLETED, second=None), {"survived"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, nodes=0)), {"survived", "disagrees"}),
        (replace(SURVIVED, audit=replace(NOTHING_LEFT, running=("node",))), {"survived", "disagrees"}),
    ],
)
def test_a_case_is_judged_by_how_it_ended_and_what_it_left(tried: Tried, names: set[str]) -> None:
    verdict = judge(tried)
    assert {name for name, holds in vars(verdict).items() if holds} == names | {"happened"}
    assert verdict.bad == bool(names & {"unclear", "leaked", "paid_twice", "hung", "disagrees"})


def test_the_table_counts_only_faults_that_happened() -> None:
    unreached = replace(SURVIVED, happened=False, first=FAILED)
    failed = replace(SURVIVED, first=FAILED, second=COMPLETED)
    lines = table([SURVIVED, failed, unreached, KILLED]).splitlines()
    assert lines[2:] == [
        "| 500 | 2 | 1 (50.0 %) | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| SIGKILL | 1 | 1 (100.0 %) | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| **all** | 3 | 2 (66.7 %) | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
    ]


@pytest.mark.parametrize(
    ("error", "clear"),
    [
        (Failure("The job failed: no memory.", "Take fewer rows.", cause=Cause.OTHER), True),
        (Failure("ServiceRequestError('<urllib3 object at 0x7f>')", cause=Cause.OTHER), False),
        (Failure("Traceback (most recent call last)", cause=Cause.OTHER), False),
        (Failure("", cause=Cause.OTHER), False),
        (Failure("{", cause=Cause.OTHER), False),
        (Failure("The job failed. " * 50, cause=Cause.OTHER), False),
        (KeyError("value"), False),
    ],
)
def test_only_a_failure_in_words_is_clear(error: Exception, clear: bool) -> None:
    assert is_clear(error) is clear


def test_a_call_is_told_from_others_of_its_path_whatever_its_run_is_called() -> None:
    paths = ("GET /jobs/base-0123456789ab", "PUT /computes/sweep-7", "GET /jobs/base-ba9876543210")
    assert calls(paths) == (Call("GET", "/jobs/*"), Call("PUT", "/computes/*"), Call("GET", "/jobs/*", 2))


def test_all_cases_are_every_call_of_every_kind_and_every_boundary() -> None:
    ended = replace(COMPLETED, stages=("a running", "a done"))
    baseline = Baseline((Call("GET", "/a"), Call("GET", "/a", 2), Call("PUT", "/a")), ended)
    wanted = ["429", kinds.KILL]
    every = [(case.kind, case.at) for case in cases(baseline, wanted)]
    assert every == [*(("429", call) for call in baseline.calls), (kinds.KILL, 1), (kinds.KILL, 2)]
    once = [(case.kind, case.at) for case in cases(baseline, wanted, once=True)]
    assert once == [each for each in every if each[1] != Call("GET", "/a", 2)]
    drawn = cases(baseline, wanted, sample=4, seed=1)
    assert drawn == cases(baseline, wanted, sample=4, seed=1)
    assert {(case.kind, case.at) for case in drawn} < set(every)
    assert len({case.serial for case in drawn}) == 4
    assert [sum(case.kind == kind for case in drawn) for kind in wanted] == [2, 2]


def test_cases_share_a_run_where_each_leaves_room_for_the_others() -> None:
    """Each is in one group; calls of one path, neighbours and what ends a run in another way share none."""
    calls = tuple(Call("GET", f"/{number // 2}", 1 + number % 2) for number in range(60))
    names = tuple(f"{number} {state}" for number in range(10) for state in ("running", "done"))
    baseline = Baseline(calls, replace(COMPLETED, stages=(*names, names[0])))
    wanted = cases(baseline, kinds.KINDS, sample=10_000, seed=SEED)
    groups = group.grouped(wanted, baseline)
    grouped = [case for each in groups for case in each.cases]
    assert sorted(case.serial for case in grouped) == sorted(case.serial for case in wanted)
    assert len(groups) < len(wanted) / 3
    assert len({each.serial for each in groups}) == len(groups)
    for each in groups:
        if len(each.cases) == 1:
            continue
        sorts = [sort for sort in SORTS if all(case.kind in sort for case in each.cases)]
        assert len(sorts) == 1, each
        for one, other in combinations(map(calls_of, each.cases), 2):
            assert not {call.path for call in one} & {call.path for call in other}
        places = [case.at for case in each.cases if isinstance(case.at, int)]
        assert places == sorted(places)
        assert all(then - first >= 3 for first, then in pairwise(places))
        assert len(names) + 1 not in places  # its name is the first one's, which a later process would take
    assert [each.cases for each in group.alone(wanted, baseline)] == [(case,) for case in wanted]


def test_one_case_of_each_kind_takes_a_run_for_each_sort() -> None:
    calls = tuple(Call("GET", f"/{number}") for number in range(180))
    names = tuple(f"{number} {state}" for number in range(18) for state in ("running", "done"))
    baseline = Baseline(calls, replace(COMPLETED, stages=names))
    wanted = [kind for sort in SORTS for kind in sort if kind != "delay"]
    for seed in range(20):
        sample = one_of_each(baseline, wanted, seed=seed)
        assert [case.kind for case in sample] == wanted
        assert len(group.grouped(sample, baseline)) == len(SORTS)
    assert one_of_each(baseline, wanted, seed=1) == one_of_each(baseline, wanted, seed=1) != sample


SORTS = (
    (*kinds.FAULTS, kinds.PAIR),
    (kinds.STOP, *kinds.AWAY, kinds.LOCKED),
    (kinds.RESTARTED,),
    kinds.LOSING,
    kinds.INTERRUPTING,
)


def calls_of(case: Case) -> tuple[Call, ...]:
    if isinstance(case.at, tuple):
        return (case.at[1], case.at[3])
    return (case.at,) if isinstance(case.at, Call) else ()


def test_a_sweep_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    assert log.read(file) == []
    for tried in (SURVIVED, KILLED):
        log.append(file, tried)
    assert log.read(file) == [SURVIVED, KILLED]
    new = Case("500", Call("GET", "/jobs/*", 3), 7)
    assert log.untried([replace(SURVIVED.case, serial=9), KILLED.case, new], log.read(file)) == [new]


@pytest.mark.slow
def test_a_sample_leaves_nothing_pays_nothing_twice_and_says_why_it_failed(
    prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in prefect_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZUREML_LOCAL_STATE", raising=False)
    # A delay makes the clients wait for it, several runs at once take as many times as long, and a Prefect
    # server that is killed is no other test's: the whole sweep has them.
    faults = [kind for kind in kinds.FAULTS if kind != "delay"]
    wanted = [*faults, *kinds.LOSING, *kinds.INTERRUPTING, kinds.STOP, *kinds.AWAY]
    with sweep(processes=1, every_call=False) as swept:
        sample = one_of_each(swept.baseline, wanted, seed=SEED)
        tried = list(swept.attempt(sample))
    assert {each.case.kind for each in tried} == set(wanted)
    assert [explain(each) for each in tried if judge(each).bad] == []
    assert sum(judge(each).happened for each in tried) >= len(wanted) - 3

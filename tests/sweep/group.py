"""Cases that come to one run, or one run after another, since each leaves room for the others.

A run that survives twenty faults of different calls has survived each of them, at a twentieth of the cost.
What does not end well together is tried again in halves, and in the end alone: the verdict is of one case.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from tests.sweep import kinds, worker
from tests.sweep.kinds import Call
from tests.sweep.table import explain, judge
from tests.sweep.worker import Baseline, Case, Tried

_FIRST_SERIAL = 10_000  # of the runs of groups: cases have those below, halves of groups twice as many
_CALLS_APART = 4  # so that what one fault lets come again is over before the next
_TOKENS_APART = 30  # a stage signs in again once
_BOUNDARIES_APART = 3


@dataclass(frozen=True)
class Sort:
    """Kinds that get on in one run, and how many of them at most."""

    kinds: tuple[str, ...]
    most: int


_CALLS = Sort((*kinds.FAULTS, kinds.PAIR), 24)
_QUIET = Sort((kinds.STOP, *kinds.AWAY, kinds.LOCKED), 9)  # the process goes on
_RESTARTS = Sort((kinds.RESTARTED,), 9)
_LOSING = Sort(kinds.LOSING, 9)  # one process after another
_INTERRUPTING = Sort(kinds.INTERRUPTING, 6)
_SORTS = (_CALLS, _QUIET, _RESTARTS, _LOSING, _INTERRUPTING)


@dataclass(frozen=True)
class Group:
    """Cases of one sort in the order of their places; `names` are those of a run's boundaries."""

    cases: tuple[Case, ...]
    serial: int  # unlike that of every other group and case
    names: tuple[str, ...]


def grouped(cases: Iterable[Case], baseline: Baseline) -> list[Group]:
    """The cases in groups as large as they may be; what gets on with no other is a group of its own."""
    fitting = _Fitting(baseline)
    groups: list[list[Case]] = []
    for case in cases:
        fitting.put(groups, [case])
    names = baseline.ended.stages
    return [
        Group(tuple(sorted(group, key=fitting.place) if len(group) > 1 else group), _FIRST_SERIAL + n, names)
        for n, group in enumerate(groups)
    ]


def sharing(choices: Iterable[Sequence[Case]], baseline: Baseline) -> list[Case]:
    """One of each choice: the first that comes to the run of one before it, or else the first."""
    fitting = _Fitting(baseline)
    groups: list[list[Case]] = []
    return [fitting.put(groups, choice) for choice in choices]


def alone(cases: Iterable[Case], baseline: Baseline) -> list[Group]:
    """Each case as a group of its own."""
    return [Group((case,), case.serial, baseline.ended.stages) for case in cases]


def attempt(group: Group) -> list[Tried]:
    """What came of each case: of all together where that ended well, else of either half, and so on.

    A case that did not happen, as another one has led the run past its place, is tried alone.
    """
    if len(group.cases) == 1:
        return [worker.attempt(group.cases[0])]
    tried = _together(group)
    ill = [each for each in tried if not _is_well(each)]
    if ill:
        print(f"{len(tried)} together: {explain(ill[0])}", file=sys.stderr, flush=True)
        return [each for half in _halves(group) for each in attempt(half)]
    return [each if each.happened else worker.attempt(each.case) for each in tried]


def _halves(group: Group) -> Iterator[Group]:
    """Every second case and the others: farther apart than before."""
    for number in range(2):
        yield replace(group, cases=group.cases[number::2], serial=2 * group.serial + number)


def _is_well(tried: Tried) -> bool:
    verdict = judge(tried)
    return not tried.happened or (verdict.survived and not verdict.bad and not verdict.dollars_off)


def _together(group: Group) -> list[Tried]:
    begun = monotonic()
    sort = _sort(group.cases[0])
    if sort is _CALLS:
        tried = worker.attempt_calls(group.cases, group.serial)
    elif sort in (_QUIET, _RESTARTS):
        tried = worker.attempt_boundaries(group.cases, group.serial)
    else:
        tried = worker.attempt_in_turn(group.cases, group.serial, group.names)
    seconds = (monotonic() - begun) / len(tried)
    return [replace(each, seconds=seconds, others=len(tried) - 1) for each in tried]


class _Fitting:
    """Whether cases get on in one run, by their places in it."""

    def __init__(self, baseline: Baseline) -> None:
        self._names = baseline.ended.stages
        self._index = {call: number for number, call in enumerate(baseline.calls)}

    def place(self, case: Case) -> int:
        return case.at if isinstance(case.at, int) else min(self._index[call] for call in _calls(case))

    def put(self, groups: list[list[Case]], choice: Sequence[Case]) -> Case:
        """Put the first of the choice that a group takes into it, or its first into a group of its own."""
        for case in choice:
            if group := next((each for each in groups if self.takes(each, case)), None):
                group.append(case)
                return case
        groups.append([choice[0]])
        return choice[0]

    def takes(self, group: Sequence[Case], case: Case) -> bool:
        """Whether the case can come to the group's run as well."""
        sort = _sort(case)
        if sort is None or len(group) >= sort.most or case.kind not in sort.kinds:
            return False
        if any(_sort(other) is not sort for other in group):
            return False
        if isinstance(case.at, int):
            return self._is_known(case.at) and all(self._apart(other, case.at) for other in group)
        return all(self._get_on(other, case) for other in group)

    def _is_known(self, at: int) -> bool:
        """Whether the boundary's name is that of no earlier one: later processes find it by that."""
        return self._names.index(self._names[at - 1]) == at - 1

    def _apart(self, other: Case, at: int) -> bool:
        if not isinstance(other.at, int) or not self._is_known(other.at):
            return False
        return abs(other.at - at) >= _BOUNDARIES_APART

    def _get_on(self, one: Case, other: Case) -> bool:
        if _is_long(one) and _is_long(other):
            return False
        tokens = all("expired token" in _faults(each) for each in (one, other))
        apart = _TOKENS_APART if tokens else _CALLS_APART
        return all(
            (first.method, first.path) != (then.method, then.path)
            and abs(self._index[first] - self._index[then]) >= apart
            for first in _calls(one)
            for then in _calls(other)
        )


def _sort(case: Case) -> Sort | None:
    return next((sort for sort in _SORTS if case.kind in sort.kinds), None)


def _calls(case: Case) -> tuple[Call, ...]:
    if isinstance(case.at, Call):
        return (case.at,)
    assert isinstance(case.at, tuple), case
    return (case.at[1], case.at[3])


def _faults(case: Case) -> tuple[str, ...]:
    return (case.at[0], case.at[2]) if isinstance(case.at, tuple) else (case.kind,)


def _is_long(case: Case) -> bool:
    """Whether it is a delay that no setting shortens."""
    return isinstance(case.at, Call) and kinds.seconds(case.kind, case.at) > 2 * kinds.READ_TIMEOUT

"""The dollars of a job: the nodes that were up for it, over time, at the price of the cluster that trains.

Azure bills a cluster's nodes from their allocation until they are released: also while they boot, pull an
image, wait for the next step and sit idle after the last one. A step's own times leave that out (seen: a
step's start is set after its preparation), so the cluster is looked at each time that the job is. Where it
was not, or tells nothing, the steps' times count, and the idle time that the cluster is known to keep.

A cluster may be somebody else's as well. The nodes that count are those that run the job's steps, that boot
while its steps wait, and that its steps have left idle; not those of other jobs, nor those that the cluster
never gives up. While other jobs run there nobody can tell whose an idle node is: then only the nodes of the
running steps count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from tasks.azure import job_states
from tasks.azure.nodes import ClusterNodes
from tasks.azure.run_history import Step
from tasks.compute import Cluster

Span = tuple[datetime, datetime, int]  # from when to when, on how many nodes
Look = tuple[datetime, int, datetime | None]  # when, the job's nodes, and when their number last changed

_BUSY = job_states.RUNNING | job_states.PROVISIONING
_NEW = timedelta(minutes=1)
_LATE = 600.0  # seconds by which a cluster may be late in giving up an idle node


class Bill(BaseModel):
    """What a job has cost, in US dollars; `at_least` where part of its time was not seen."""

    model_config = ConfigDict(frozen=True)

    dollars: float = 0.0
    at_least: bool = True

    def __add__(self, other: Bill) -> Bill:
        return Bill(dollars=self.dollars + other.dollars, at_least=self.at_least or other.at_least)

    def __str__(self) -> str:
        return f"{'at least ' if self.at_least and self.dollars else ''}${self.dollars:.2f}"


class Meter:
    """What was seen of a cluster while a job was waited for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._looks: list[Look] = []
        self._idle = 0.0
        self._shared = False
        self._created: datetime | None = None
        self.last = Bill()  # the latest one
        self.begun: datetime | None = None  # the first of its steps on the cluster, and
        self.ended: datetime | None = None  # the last of them

    @property
    def idle_seconds(self) -> float:
        """For how long the cluster keeps an idle node, as far as it is known to."""
        return self._idle

    def created(self, moment: datetime | None) -> None:
        """Note when a job was submitted: nothing of it was up before."""
        if moment is not None:
            self._created = min(self._created or moment, moment)

    def look(self, nodes: ClusterNodes | None, steps: Sequence[Step]) -> None:
        """Take what the cluster has said just after the steps were read; None where it said nothing."""
        if nodes is None:
            return
        self._idle = nodes.idle_seconds
        here = [step for step in steps if self._is_here(step)]
        busy = sum(self._nodes(step) for step in here if step.status in _BUSY)
        self._shared = nodes.running > busy
        seen = busy if self._shared else busy + self._waiting(nodes, here) + self._kept(nodes, here, busy)
        if [before[1] for before in self._looks[-2:]] == [seen, seen]:
            self._looks.pop()  # the first and the last of a stretch are enough
        self._looks.append((nodes.at, seen, nodes.changed))

    def bill(self, steps: Sequence[Step], now: datetime, until: datetime | None = None) -> Bill:
        """What the steps have cost; `until` is when the cluster was released, or the time in a live job.

        Without it the idle time after the last step counts in full: it is going to be billed.
        """
        here = self._spans([step for step in steps if self._is_here(step)], now)
        self.begun = min((begin for begin, _, _ in here), default=None)
        self.ended = max((end for _, end, _ in here), default=None)
        elsewhere = self._spans([step for step in steps if not self._is_here(step)], now)
        seconds = _Timeline(here, self._looks, 0.0 if self._shared else self._idle).node_seconds(until)
        seconds += _Timeline(elsewhere, (), 0.0).node_seconds(until)  # its price is taken to be the same
        is_least = bool(elsewhere) or self._missed(here)
        self.last = Bill(dollars=seconds / 3600 * self.cluster.price, at_least=is_least)
        return self.last

    def _waiting(self, nodes: ClusterNodes, steps: Sequence[Step]) -> int:
        """The nodes that boot, as many as the job's next steps wait for."""
        wanted = sum(self._nodes(step) for step in steps if step.status in job_states.QUEUED)
        return min(max(nodes.current - nodes.running - nodes.idle, 0), wanted)

    def _kept(self, nodes: ClusterNodes, steps: Sequence[Step], busy: int) -> int:
        """The idle nodes, as many as the job's steps have left."""
        idle = nodes.idle - (0 if self.cluster.created else nodes.least)
        held = _Timeline(self._spans(steps, nodes.at), (), self._idle + _LATE).up(nodes.at)
        return min(max(idle, 0), max(held - busy, 0))

    def _spans(self, steps: Sequence[Step], now: datetime) -> list[Span]:
        return [
            (step.started, step.ended or now, self._nodes(step))
            for step in steps
            if step.started is not None and not step.reused
        ]

    def _missed(self, spans: Sequence[Span]) -> bool:
        """Whether a step had begun before the cluster was first looked at: its boot was not seen.

        Unless the job was as good as new then.
        """
        first = min((begin for begin, _, _ in spans), default=None)
        if first is None:
            return False
        if self._created is not None:
            first = max(first, self._created + _NEW)
        return not self._looks or self._looks[0][0] > first

    def _nodes(self, step: Step) -> int:
        """As many as the service says; until it does, only the training step has more than one."""
        if step.nodes:
            return step.nodes
        return self.cluster.nodes if "finetune" in step.name.casefold().replace("-", "") else 1

    def _is_here(self, step: Step) -> bool:
        return step.cluster is None or step.cluster.casefold() == self.cluster.name.casefold()


class _Timeline:
    """How many nodes were up for a job at each moment: those seen, at least those of the running steps."""

    def __init__(
        self,
        spans: Sequence[Span],
        looks: Sequence[Look],
        idle: float,
    ) -> None:
        self._spans = spans
        self._idle = timedelta(seconds=idle)
        self._seen = list(_stretches(looks))

    def node_seconds(self, until: datetime | None) -> float:
        moments = sorted({self._capped(moment, until) for moment in self._moments()})
        return sum(
            self.up(begin + (end - begin) / 2) * (end - begin).total_seconds()
            for begin, end in pairwise(moments)
        )

    def _moments(self) -> Iterator[datetime]:
        """Every moment at which the number may change."""
        for begin, end, _ in self._spans:
            yield from (begin, end, begin + self._idle, end + self._idle)
        for begin, end, _ in self._seen:
            yield from (begin, end)

    @staticmethod
    def _capped(moment: datetime, until: datetime | None) -> datetime:
        return moment if until is None else min(moment, until)

    def up(self, at: datetime) -> int:
        running = self._running(at)
        for begin, end, nodes in self._seen:
            if begin <= at < end:
                return max(nodes, running)
        return max(running, self._held(at))

    def _running(self, at: datetime) -> int:
        return sum(nodes for begin, end, nodes in self._spans if begin <= at < end)

    def _held(self, at: datetime) -> int:
        """As many as ran at once within the idle time before: a node is kept for so long."""
        since = at - self._idle
        moments = [since, *(begin for begin, _, _ in self._spans if since < begin <= at)]
        return max(self._running(moment) for moment in moments)


def _stretches(looks: Iterable[Look]) -> Iterator[Span]:
    """From look to look the number seen; it changed when the cluster says so, else half-way."""
    for (begin, before, _), (end, after, changed) in pairwise(looks):
        if before == after:
            yield begin, end, before
            continue
        turn = changed if changed and begin < changed <= end else begin + (end - begin) / 2
        yield begin, turn, before
        yield turn, end, after

"""The sweep itself: a Prefect server, a pool of processes with a workspace each, and the cases to try."""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from math import inf
from pathlib import Path
from time import monotonic

from flows.operations.stand import serving
from tests.sweep import group, kinds, worker
from tests.sweep.kinds import Call
from tests.sweep.server import OwnServer
from tests.sweep.worker import At, Baseline, Case, Tried

# What a run waits for, made short; each is a setting that whoever runs the flow has as well.
_SETTINGS = {
    "FINETUNE_READ_TIMEOUT": f"{kinds.READ_TIMEOUT:g}",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{kinds.READ_TIMEOUT:.0f}",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by the real clock: the flow's own goes on only while it waits
    "TQDM_DISABLE": "1",
}
_PREFECT = {
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
}


Place = tuple[str, At]


@dataclass(frozen=True)
class Sweep:
    """Processes that are ready, and what a run without a fault is like."""

    pool: ProcessPoolExecutor
    baseline: Baseline

    def attempt(
        self, wanted: Sequence[Case], minutes: float = inf, *, together: bool = True
    ) -> Iterator[Tried]:
        """What came of each case, in the order in which they end; none begins after so many minutes.

        Cases that get on come to the same run, unless they shall not be `together`.
        """
        ends = monotonic() + minutes * 60
        groups = (group.grouped if together else group.alone)(wanted, self.baseline)
        futures = [self.pool.submit(group.attempt, each) for each in groups]
        for done in as_completed(futures):
            if not done.cancelled():
                yield from done.result()
            if monotonic() > ends:
                for future in futures:
                    future.cancel()  # what has begun goes on


@contextmanager
def sweep(processes: int, *, every_call: bool = True) -> Iterator[Sweep]:
    """Servers and processes while the block runs; everything they keep is in a temporary folder.

    The first run polls more often than those after it, as MLflow starts in it: where every call is wanted and
    not only the first of each path, a second run is looked at.

    Each process has a Prefect server of its own, as what happens to it shall happen to no other run; where
    PREFECT_API_URL names one, that is theirs.
    """
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        home = Path(folder)
        with _environment(_SETTINGS), _pool(processes, home) as pool:
            seen = pool.submit(worker.baseline, 0).result()
            yield Sweep(pool, pool.submit(worker.baseline, 1).result() if every_call else seen)


def cases(
    baseline: Baseline, wanted: Sequence[str], *, sample: int | None = None, seed: int = 0, once: bool = False
) -> list[Case]:
    """Every kind at every call, and a SIGKILL at every boundary of a stage; or a sample of them.

    With `once` only the first call of each method and path.
    """
    calls = [call for call in baseline.calls if call.nth == 1 or not once]
    chance = random.Random(seed)
    every = [(kind, at) for kind in wanted for at in _places(kind, calls, baseline.ended.stages, chance)]
    if sample is not None:
        every = _drawn(every, sample, chance)
    return [Case(kind, at, serial) for serial, (kind, at) in enumerate(every, 2)]


def one_of_each(baseline: Baseline, wanted: Sequence[str], *, seed: int = 0) -> list[Case]:
    """A case of each kind, drawn by chance among those that share a run with the ones drawn before.

    Every kind is tried with the fewest runs; where in a run it comes is as good as any other place.
    """
    chance = random.Random(seed)
    firsts = [call for call in baseline.calls if call.nth == 1]
    choices = []
    for serial, kind in enumerate(wanted, 2):
        places = list(_places(kind, firsts, baseline.ended.stages, chance))
        choices.append([Case(kind, at, serial) for at in chance.sample(places, len(places))])
    return group.sharing(choices, baseline)


def _places(kind: str, calls: Sequence[Call], stages: Sequence[str], chance: random.Random) -> Sequence[At]:
    """Where this kind of trouble can come: at every call or boundary, or at pairs of calls by chance."""
    if kind in kinds.TOGETHER:
        return [0]
    if kind in kinds.AT_STAGES:
        return range(1, len(stages) + 1)
    if kind == kinds.WORKER:
        begun = (name.removesuffix(" running") for name in stages if name.endswith(" running"))
        return list(dict.fromkeys(begun))
    if kind != kinds.PAIR:
        return calls
    # Without the delays, two of which take minutes, and prove no more than one.
    quick = [name for name in kinds.FAULTS if name != "delay"]
    found: list[At] = []
    for _ in calls[1:]:
        one, other = chance.sample(quick, 2)
        first, then = sorted(chance.sample(range(len(calls)), 2))
        found.append((one, calls[first], other, calls[then]))
    return found


def _drawn(every: Sequence[Place], sample: int, chance: random.Random) -> list[Place]:
    """So many of them by chance, of each kind as many as of every other: few cases meet many kinds."""
    by_kind: dict[str, list[Place]] = {}
    for case in chance.sample(every, len(every)):
        by_kind.setdefault(case[0], []).append(case)
    turns = chain.from_iterable(zip_longest(*by_kind.values()))
    return list(islice(filter(None, turns), sample))


@contextmanager
def _pool(processes: int, home: Path) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack, context.Manager() as manager:
        servers = manager.Queue()
        for number in range(0 if "PREFECT_API_URL" in os.environ else processes):
            server = stack.enter_context(serving(home / f"prefect-{number}", **_PREFECT))
            servers.put(OwnServer(server.home, server.port, server.pid, server.extra))
        pool = ProcessPoolExecutor(
            processes, mp_context=context, initializer=worker.start, initargs=(home, servers)
        )
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that the processes started within the block inherit."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

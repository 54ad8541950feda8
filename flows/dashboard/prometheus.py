"""The history as Prometheus metrics: in a text file for a collector, or behind an address to be scraped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from flows.dashboard.run import STATES, RunRecord
from flows.dashboard.trends import failures
from tasks.azure.failure import Cause, Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.simple_server import WSGIServer

_BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400)  # seconds
_QUANTILES = (0.5, 0.95)
_FRESH = 30.0  # seconds: several scrapers cost one reading


class History(Collector):
    """The metrics of the runs that `read` gives at the moment they are asked for."""

    def __init__(self, read: Callable[[], Sequence[RunRecord]], now: datetime | None = None) -> None:
        self._read = read
        self._now = now

    def collect(self) -> Iterator[Metric]:
        runs = self._read()
        now = self._now or datetime.now(UTC)
        yield _by_state(runs)
        yield _histogram(
            "finetune_stage_seconds",
            "Seconds that a stage took, in runs that completed.",
            "stage",
            ((stage, value) for run in _completed(runs) for stage, value in run.seconds_by_stage.items()),
        )
        took = [(run.recipe, run.seconds) for run in _completed(runs) if run.seconds is not None]
        queued = [(run.recipe, run.queued_seconds) for run in runs if run.queued_seconds is not None]
        yield _histogram("finetune_run_seconds", "Seconds that a completed run took.", "recipe", took)
        yield _quantiles("finetune_run_quantile_seconds", "Seconds that completed runs took.", took)
        yield _histogram(
            "finetune_queue_seconds", "Seconds that a job waited for the cluster.", "recipe", queued
        )
        yield _quantiles(
            "finetune_queue_quantile_seconds", "Seconds that jobs waited for the cluster.", queued
        )
        yield _dollars(runs)
        yield _failed(runs)
        yield _losses(runs)
        yield _endpoints(runs, now)
        yield _last(runs)


def exposition(runs: Sequence[RunRecord], now: datetime | None = None) -> str:
    """The metrics of these runs in the text format."""
    from prometheus_client import generate_latest

    return generate_latest(registry(lambda: runs, now)).decode()


def registry(read: Callable[[], Sequence[RunRecord]], now: datetime | None = None) -> CollectorRegistry:
    """A registry of the history alone, without what the client library says of the process."""
    made = CollectorRegistry(auto_describe=False)
    made.register(History(read, now))
    return made


@contextmanager
def serving(
    read: Callable[[], Sequence[RunRecord]], port: int, address: str = "127.0.0.1"
) -> Iterator[WSGIServer]:
    """Answer scrapes until the block ends; what was read is good for half a minute."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, address, registry(_kept(read)))
    except OSError as error:
        raise Failure(
            f"{address}:{port} cannot be listened at: {error.strerror}.",
            "Choose another --port.",
            cause=Cause.CONFIGURATION,
        ) from error
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _kept(read: Callable[[], Sequence[RunRecord]]) -> Callable[[], Sequence[RunRecord]]:
    reading = Lock()
    runs: Sequence[RunRecord] = ()
    until = -1.0

    def kept() -> Sequence[RunRecord]:
        nonlocal runs, until
        with reading:
            if monotonic() >= until:
                runs = read()
                until = monotonic() + _FRESH
            return runs

    return kept


def _by_state(runs: Iterable[RunRecord]) -> Metric:
    metric = GaugeMetricFamily(
        "finetune_runs", "Runs by the state they are in.", labels=("state", "recipe", "model")
    )
    counted = Counter((run.state, run.recipe, run.base) for run in runs)
    kinds = sorted({(recipe, model) for _, recipe, model in counted})
    for recipe, model in kinds:
        for state in STATES:  # zeros too: a rule cannot fire on what is not there
            metric.add_metric((state, recipe, model), counted[state, recipe, model])
    return metric


def _dollars(runs: Iterable[RunRecord]) -> Metric:
    metric = CounterMetricFamily(
        "finetune_dollars", "US dollars spent on runs.", labels=("kind", "recipe", "model")
    )
    spent: dict[tuple[str, str, str], float] = defaultdict(float)
    for run in runs:
        for kind, value in (("training", run.training_usd), ("serving", run.serving_usd)):
            spent[kind, run.recipe, run.base] += value or 0.0
    for labels, value in sorted(spent.items()):
        metric.add_metric(labels, value)
    return metric


def _failed(runs: Iterable[RunRecord]) -> Metric:
    metric = CounterMetricFamily(
        "finetune_failures", "Runs that did not complete, by stage and cause.", labels=("stage", "cause")
    )
    for labels, times in sorted(failures(runs).items()):
        metric.add_metric(labels, times)
    return metric


def _losses(runs: Iterable[RunRecord]) -> Metric:
    metric = GaugeMetricFamily(
        "finetune_eval_loss", "Held-out loss of the newest run.", labels=("recipe", "model")
    )
    newest: dict[tuple[str, str], float] = {}
    for run in runs:  # the newest come first
        if run.eval_loss is not None:
            newest.setdefault((run.recipe, run.base), run.eval_loss)
    for labels, value in sorted(newest.items()):
        metric.add_metric(labels, value)
    return metric


def _endpoints(runs: Iterable[RunRecord], now: datetime) -> Metric:
    metric = GaugeMetricFamily(
        "finetune_live_endpoints", "Endpoints kept on purpose whose lease goes on.", labels=("model",)
    )
    live: dict[str, set[str]] = {run.base: set() for run in runs}
    for run in runs:
        if run.endpoint and run.serves(now):
            live[run.base].add(run.endpoint)
    for model, endpoints in sorted(live.items()):
        metric.add_metric((model,), len(endpoints))
    return metric


def _last(runs: Iterable[RunRecord]) -> Metric:
    metric = GaugeMetricFamily(
        "finetune_last_run_timestamp_seconds",
        "When the newest run in a state began, in seconds since 1970.",
        labels=("state", "recipe"),
    )
    newest: dict[tuple[str, str], float] = {}
    for run in runs:
        newest.setdefault((run.state, run.recipe), run.when.timestamp())
    for labels, value in sorted(newest.items()):
        metric.add_metric(labels, value)
    return metric


def _histogram(name: str, help_: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    metric = HistogramMetricFamily(name, help_, labels=(label,))
    found: dict[str, list[float]] = defaultdict(list)
    for key, value in values:
        found[key].append(value)
    for key, seconds in sorted(found.items()):
        within = [(str(bound), sum(value <= bound for value in seconds)) for bound in map(float, _BUCKETS)]
        metric.add_metric((key,), [*within, ("+Inf", len(seconds))], sum(seconds))
    return metric


def _quantiles(name: str, help_: str, values: Iterable[tuple[str, float]]) -> Metric:
    """Of the values themselves: from a histogram they are known to the width of a bucket only."""
    metric = GaugeMetricFamily(name, help_, labels=("recipe", "quantile"))
    found: dict[str, list[float]] = defaultdict(list)
    for recipe, value in values:
        found[recipe].append(value)
    for recipe, seconds in sorted(found.items()):
        for quantile in _QUANTILES:
            metric.add_metric((recipe, str(quantile)), _quantile(sorted(seconds), quantile))
    return metric


def _quantile(ordered: Sequence[float], quantile: float) -> float:
    """The value below which that share lies, between two values in proportion."""
    place = quantile * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _completed(runs: Iterable[RunRecord]) -> Iterator[RunRecord]:
    return (run for run in runs if run.state == "completed")

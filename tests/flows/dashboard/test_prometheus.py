"""The metrics: what they say, how they are scraped, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from flows.dashboard.prometheus import exposition, registry, serving
from flows.dashboard.run import RunRecord
from tasks.azure.failure import Cause
from tasks.delete import Deletion, EndpointEnd
from tests.support.checkout import ROOT
from tests.support.failures import fails
from tests.support.synthetic import NOW, runs
from tests.support.waiting import PATIENCE

DASHBOARD = ROOT / "dashboards" / "grafana.json"
HISTORY = runs(400)


def _value(found: CollectorRegistry, name: str, **labels: str) -> float | None:
    return found.get_sample_value(name, labels)


def _sum(text: str, sample: str) -> float:
    return sum(float(each.value) for each in _samples(text) if each.name == sample)


def _samples(text: str) -> Iterator[Any]:
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)


def test_runs_are_counted_by_state() -> None:
    found = registry(lambda: HISTORY, NOW)
    counted = Counter((run.state, run.recipe) for run in HISTORY)
    for state in ("completed", "failed", "crashed", "running"):
        value = _value(found, "finetune_runs", state=state, recipe="local", model="SmolLM2-135M-Instruct")
        assert value == counted[state, "local"]


def test_seconds_dollars_and_failures_are_those_of_the_runs() -> None:
    text = exposition(HISTORY, NOW)
    completed = [run for run in HISTORY if run.state == "completed"]
    assert _sum(text, "finetune_runs") == len(HISTORY)
    assert _sum(text, "finetune_dollars_total") == pytest.approx(sum(run.cost_usd or 0 for run in HISTORY))
    counted = Counter(run.cause for run in HISTORY if run.unsuccessful)
    assert len(counted) > 5
    for cause, times in counted.items():
        of_cause = [each for each in _samples(text) if each.labels.get("cause") == cause]
        assert sum(each.value for each in of_cause if each.name == "finetune_failures_total") == times
    assert _sum(text, "finetune_failures_total") == counted.total()
    assert _sum(text, "finetune_run_seconds_count") == len(completed)
    assert _sum(text, "finetune_run_seconds_sum") == pytest.approx(sum(run.seconds or 0 for run in completed))


def test_the_buckets_of_a_stage_grow_to_the_number_of_its_runs() -> None:
    found = registry(lambda: HISTORY, NOW)
    trained = [run.seconds_by_stage["train"] for run in HISTORY if run.state == "completed"]
    for bound in (60.0, 3600.0, 7200.0):
        value = _value(found, "finetune_stage_seconds_bucket", stage="train", le=str(bound))
        assert value == sum(seconds <= bound for seconds in trained)
    assert _value(found, "finetune_stage_seconds_count", stage="train") == len(trained)


def test_the_median_is_that_of_the_runs_and_not_of_a_bucket() -> None:
    completed = next(run for run in HISTORY if run.state == "completed")
    alone = completed.model_copy(update={"recipe": "one", "seconds": 385.0})
    two = [completed.model_copy(update={"recipe": "two", "seconds": seconds}) for seconds in (10.0, 20.0)]
    found = registry(lambda: [alone, *two], NOW)
    assert _value(found, "finetune_run_quantile_seconds", recipe="one", quantile="0.5") == 385
    assert _value(found, "finetune_run_quantile_seconds", recipe="two", quantile="0.5") == 15
    assert _value(found, "finetune_run_quantile_seconds", recipe="two", quantile="0.95") == pytest.approx(
        19.5
    )


def test_an_endpoint_is_live_until_its_lease_ends() -> None:
    kept = HISTORY[0].model_copy(
        update={
            "endpoint": "e",
            "deletion": Deletion(endpoint="e", state=EndpointEnd.KEPT, at=NOW, until=NOW),
        }
    )
    for hours, live in ((-1, 1.0), (1, 0.0)):
        found = registry(lambda: [kept], NOW + timedelta(hours=hours))
        assert _value(found, "finetune_live_endpoints", model=kept.base) == live


def test_the_newest_loss_is_the_one_that_is_reported() -> None:
    newest = next(run for run in HISTORY if run.recipe == "local" and run.eval_loss is not None)
    told = _value(
        registry(lambda: HISTORY, NOW), "finetune_eval_loss", recipe="local", model="SmolLM2-135M-Instruct"
    )
    assert told == newest.eval_loss


def test_names_with_quotes_and_lines_stay_one_label() -> None:
    name = 'a"b\\c\nd'
    text = exposition([HISTORY[0].model_copy(update={"recipe": name})], NOW)
    assert {sample.labels["recipe"] for sample in _samples(text) if "recipe" in sample.labels} == {name}


def test_no_runs_are_no_metrics_and_no_error() -> None:
    assert "finetune_runs{" not in exposition([], NOW)


def test_scrapes_are_answered_from_one_reading() -> None:
    reads: list[int] = []

    def read() -> list[RunRecord]:
        reads.append(1)
        return HISTORY

    with serving(read, 0) as server:
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        answers = [urlopen(address, timeout=PATIENCE).read().decode() for _ in range(3)]
    assert _sum(answers[0], "finetune_runs") == len(HISTORY)
    assert answers[0].split("finetune_live")[0] == answers[2].split("finetune_live")[0]
    assert len(reads) == 1


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            fails(Cause.CONFIGURATION, f"127.0.0.1:{port}", "--port"),
            serving(lambda: HISTORY, port),
        ):
            pass


def test_every_query_of_the_dashboard_names_a_metric_that_is_exported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    exported = {sample.name for sample in _samples(exposition(HISTORY, NOW))}
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert len(queries) >= 15
    for query in queries:
        names = set(re.findall(r"\bfinetune_\w+", query))
        assert names, query
        assert names <= exported, query
    asked = {name for query in queries for name in re.findall(r"\bfinetune_\w+", query)}
    assert {
        "finetune_runs",
        "finetune_stage_seconds_sum",
        "finetune_dollars_total",
        "finetune_live_endpoints",
    } <= asked


def test_the_labels_that_the_dashboard_filters_by_exist() -> None:
    labels: dict[str, set[str]] = {}
    for sample in _samples(exposition(HISTORY, NOW)):
        labels.setdefault(sample.name, set()).update(sample.labels)
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            for name, matchers in re.findall(r"(finetune_\w+)\{([^}]*)\}", target["expr"]):
                assert set(re.findall(r"(\w+)=~?", matchers)) <= labels[name], target["expr"]


def test_every_alert_asks_for_what_is_exported_and_says_what_has_happened() -> None:
    samples = list(_samples(exposition(HISTORY, NOW)))
    labels = {sample.name: set(sample.labels) for sample in samples}
    (group,) = yaml.safe_load((ROOT / "dashboards" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]:
        names = set(re.findall(r"\bfinetune_\w+", rule["expr"]))
        assert names, rule["alert"]
        assert names <= labels.keys(), rule["alert"]
        known = set().union(*(labels[name] for name in names))
        for matched in re.findall(r"(\w+)=~?\"|by \((.*?)\)", rule["expr"]):
            assert set(re.split(r",\s*", matched[0] or matched[1])) <= known, rule["alert"]
        assert rule["annotations"]["summary"]
    causes = re.findall(r'cause="(\w+)"', str(group))
    assert causes
    assert set(causes) <= set(Cause)


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)

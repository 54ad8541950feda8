"""What the runs amount to week by week, and how it is drawn."""

from __future__ import annotations

from base64 import b64decode
from datetime import date, timedelta
from xml.etree.ElementTree import Element, fromstring

import pytest

from flows.dashboard import charts
from flows.dashboard.run import RunRecord
from flows.dashboard.trends import FEWEST_WEEKS, MOST_WEEKS, Trend, failures, trends
from tests.support.synthetic import NOW, runs

HISTORY = runs(2000)


def _trend(key: str, history: list[RunRecord]) -> Trend:
    return next(trend for trend in trends(history, NOW) if trend.key == key)


def _sum(trend: Trend) -> float:
    return sum(value or 0 for series in trend.series for value in series.values)


def test_nothing_is_lost_on_the_way_into_weeks() -> None:
    assert _sum(_trend("cost", HISTORY)) == pytest.approx(sum(run.cost_usd or 0 for run in HISTORY))
    assert _sum(_trend("failures", HISTORY)) == sum(run.unsuccessful for run in HISTORY)
    assert failures(HISTORY).total() == sum(run.unsuccessful for run in HISTORY)


def test_the_stages_of_a_week_add_up_to_its_mean_run() -> None:
    week = [run for run in HISTORY if run.state == "completed" and run.when >= NOW - timedelta(hours=12)]
    assert week
    durations = _trend("duration", week)
    mean = sum(run.seconds or 0 for run in week) / len(week)
    assert sum(series.values[-1] or 0 for series in durations.series) == pytest.approx(mean)


def test_weeks_are_counted_from_their_monday_without_a_gap() -> None:
    weeks = _trend("cost", HISTORY).weeks
    assert weeks[-1] == date(2026, 11, 23)
    assert all(week.weekday() == 0 for week in weeks)
    assert [weeks[0] + timedelta(weeks=at) for at in range(len(weeks))] == list(weeks)


def test_there_are_weeks_enough_to_see_a_course_and_not_more_than_can_be_drawn() -> None:
    assert len(_trend("cost", []).weeks) == FEWEST_WEEKS
    decade = runs(50, days=3650)
    assert len(_trend("cost", decade).weeks) == MOST_WEEKS
    assert _sum(_trend("cost", decade)) < sum(run.cost_usd or 0 for run in decade)


def test_many_stages_are_told_apart_by_few_colours() -> None:
    for trend in trends(HISTORY, NOW):
        assert 1 < len(trend.series) <= len(charts.PALETTE)
        assert len({series.colour for series in trend.series}) == len(trend.series)
    colours = {s.name: s.colour for trend in trends(HISTORY, NOW)[:1] for s in trend.series}
    again = {s.name: s.colour for s in _trend("failures", HISTORY).series if s.name in colours}
    assert again
    assert again.items() <= colours.items()


@pytest.mark.parametrize("history", [[], HISTORY[:1], HISTORY[:40], HISTORY], ids=len)
def test_every_mark_lies_within_its_chart(history: list[RunRecord]) -> None:
    for trend in trends(history, NOW):
        drawn = fromstring(charts.chart(trend))
        bars = _marks(drawn, "rect")
        for bar in bars:
            assert 0 <= float(bar.get("x", "").rstrip("%")) <= 100
            assert float(bar.get("y", "")) >= 0
            assert float(bar.get("y", "")) + float(bar.get("height", "")) <= charts.HEIGHT
        for dot in _marks(drawn, "circle"):
            assert 0 <= float(dot.get("cy", "")) <= charts.HEIGHT
        if trend.stacked:
            assert len(bars) == sum(bool(value) for series in trend.series for value in series.values)


def test_the_heights_of_bars_are_their_values() -> None:
    trend = _trend("cost", [run for run in HISTORY if run.training_usd and not run.serving_usd])
    bars = _marks(fromstring(charts.chart(trend)), "rect")
    values = [value for value in trend.series[0].values if value]
    heights = [float(bar.get("height", "")) for bar in bars]
    scale = max(heights) / max(values)
    assert heights == pytest.approx([value * scale for value in values], abs=0.6)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (7.3, ["0 s", "2 s", "4 s", "6 s", "8 s"]),
        (4200, ["0 min", "20 min", "40 min", "60 min", "80 min"]),
        (5400, ["0 h", "0.5 h", "1 h", "1.5 h"]),
        (11000, ["0 h", "1 h", "2 h", "3 h", "4 h"]),
    ],
)
def test_an_axis_counts_in_round_values_of_its_unit(seconds: float, labels: list[str]) -> None:
    run = HISTORY[0].model_copy(update={"state": "completed", "seconds_by_stage": {"train": seconds}})
    drawn = fromstring(charts.chart(_trend("duration", [run])))
    named = [text.text for text in drawn.iter("text") if text.get("text-anchor") == "end"]
    assert named[: len(labels)] == labels


def test_a_week_says_what_it_shows_when_pointed_at() -> None:
    said = [title.text or "" for title in fromstring(charts.chart(_trend("failures", HISTORY))).iter("title")]
    assert all(text.startswith("Week of ") for text in said)
    assert any("train: out of memory" in text for text in said)


def test_names_cannot_break_out_of_a_chart() -> None:
    name = '</text><script>alert(1)</script>"'
    history = [run.model_copy(update={"model": name}) for run in HISTORY[:60]]
    drawn = charts.chart(_trend("eval-loss", history))
    assert "<script" not in drawn
    assert name in "".join(fromstring(drawn).itertext())


def test_a_picture_stands_alone() -> None:
    for trend in trends(HISTORY, NOW):
        kind, _, data = charts.picture(trend).partition(",")
        assert kind == "data:image/svg+xml;base64"
        text = "".join(fromstring(b64decode(data)).itertext())
        assert trend.title in text
        assert trend.series[0].name[:15] in text


def _marks(drawn: Element, kind: str) -> list[Element]:
    return [mark for mark in drawn.iter(kind) if (mark.get("class") or "").startswith("mark")]

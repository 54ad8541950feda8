"""The page of the history: one file, safe whatever runs report, quick with thousands, used in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows.dashboard.difference import shown
from flows.dashboard.page import page, tiles
from flows.dashboard.recipes import by_recipe
from flows.dashboard.run import RunRecord
from flows.run import figures
from tasks.core.reuse import Reused
from tasks.delete import Deletion, EndpointEnd
from tests.support import browser
from tests.support.synthetic import NOW, runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RATE = "parameters.training.learning_rate"
EVIL = '</script><img src=x onerror="document.title=1"><script>document.title=2</script>&quot;'


def _evil(run: RunRecord) -> RunRecord:
    texts = dict.fromkeys(("name", "recipe", "model", "message", "failure", "failed_stage", "cause"), EVIL)
    texts |= dict.fromkeys(("registered", "endpoint", "job", "data_share"), EVIL)
    things: dict[str, Any] = {
        "reused": (Reused(kind="job", name=EVIL, run=EVIL),),
        "deletion": Deletion(endpoint=EVIL, state=EndpointEnd.RELEASED, at=NOW, owner=EVIL),
    }
    settings = {EVIL: EVIL + run.id, "data.train.take": EVIL}
    return run.model_copy(
        update={**texts, **things, "settings": settings, "studio_url": "javascript:document.title=3"}
    )


class _Outline(HTMLParser):
    """The elements of a page, the addresses in it, and the data of its script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.data = ""
        self._in_data = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        self._in_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False


def test_the_page_needs_nothing_beside_it() -> None:
    html = page(runs(50), now=NOW)
    assert set(_Outline(html).addresses) <= {"data:,"}
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org|ml\.azure\.com)", html
    )


def test_every_run_is_in_the_page_once() -> None:
    history = runs(300)
    rows = json.loads(_Outline(page(history, prefect="http://prefect:4200/", now=NOW)).data)["rows"]
    links = [fact[2] for row in rows for fact in row["facts"] if fact[0] == "flow run"]
    assert links == [f"http://prefect:4200/runs/flow-run/{run.id}" for run in history]


def test_only_what_differs_goes_into_the_page_and_each_value_once() -> None:
    """Read back from the page's data: every setting as the run has it, and none that all have alike."""
    history = runs(300)
    data = json.loads(_Outline(page(history, now=NOW)).data)
    names = [name for name, _ in data["settings"]]
    assert names == ["base.name", "data.train.take", RATE, "parameters.training.num_train_epochs"]
    for run, row in zip(history, data["rows"], strict=True):
        pairs = dict(zip(row["set"][::2], row["set"][1::2], strict=True))
        found = {name: texts[pairs.get(at, 0)] for at, (name, texts) in enumerate(data["settings"])}
        assert found == {name: shown(run.settings[name]) for name in names}
        assert dict(zip(data["outcome"], row["got"], strict=True))["cost"] == (
            figures.dollars(run.cost_usd) if run.cost_usd is not None else ""
        )


def test_what_each_recipe_cost_is_all_that_its_runs_did() -> None:
    history = runs(400)
    html = page(history, now=NOW)
    costs = by_recipe(history, NOW)
    assert sum(cost.spent for cost in costs) == pytest.approx(sum(run.cost_usd or 0 for run in history))
    assert sum(cost.runs for cost in costs) == 400
    most = costs[0]
    completed = sum(run.recipe == most.recipe and run.state == "completed" for run in history)
    assert most.each == pytest.approx(most.spent / completed)
    assert f"<td>{figures.dollars(most.each)}</td>" in html
    (failed,) = by_recipe([next(run for run in history if run.state == "failed")], NOW)
    assert failed.each is None


def test_what_runs_report_never_becomes_markup() -> None:
    plain, evil = (_Outline(page(history, now=NOW)) for history in (runs(40), [*map(_evil, runs(40))]))
    assert EVIL in json.dumps(json.loads(evil.data), ensure_ascii=False).replace('\\"', '"')
    assert evil.tags.count("script") == plain.tags.count("script") == 2
    assert "img" not in evil.tags
    assert not any(fact[2] for row in json.loads(evil.data)["rows"] for fact in row["facts"])


def test_no_run_at_all_is_a_page_that_says_how_to_begin() -> None:
    html = page([], now=NOW)
    assert "finetune run local" in html
    assert "<svg" not in html


def test_runs_that_only_crashed_have_a_page() -> None:
    crashed = [run for run in runs(400) if run.state == "crashed"]
    html = page(crashed, now=NOW)
    assert "Nothing to draw yet." in html
    assert f">{len(crashed)}<" in html


def test_the_figures_are_those_of_the_runs() -> None:
    history = runs(500)
    kept = history[0].model_copy(
        update={"endpoint": "ep-1", "deletion": Deletion(endpoint="ep-1", state=EndpointEnd.KEPT, at=NOW)}
    )
    found = {tile.name: tile for tile in tiles([kept, *history[1:]], NOW)}
    completed = sum(run.state == "completed" for run in history)
    assert found["runs"].value == "500"
    assert found["completed"].value == f"{completed / 500:.0%}"
    assert found["spent"].value == f"${sum(run.cost_usd or 0 for run in history):,.0f}"
    assert (found["endpoints kept"].value, found["endpoints kept"].note) == ("1", "ep-1")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.opened() as chromium:
        yield chromium


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Any]:
    """Opens the page of some runs in a browser without a network; no error may reach its console."""
    errors: list[str] = []
    context = chromium.new_context(offline=True)

    def opened(history: list[RunRecord], width: int = 1280, at: str = "") -> Page:
        file = tmp_path / "history.html"
        file.write_text(page(history, now=NOW), encoding="utf-8")
        shown = context.new_page()
        shown.set_viewport_size({"width": width, "height": 900})
        shown.emulate_media(color_scheme="light")
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        shown.goto(file.as_uri() + at)
        return shown

    yield opened
    context.close()
    assert errors == []


@pytest.mark.slow
def test_filters_narrow_the_table_and_are_kept_in_the_address(show: Any) -> None:
    history = runs(300)
    shown = show(history)
    shown.select_option("[name=state]", "failed")
    failed = [run for run in history if run.state == "failed"]
    assert shown.locator(".runs .run").count() == len(failed)
    assert f"{len(failed)} of 300 runs, 0 completed" in shown.text_content(".sum")
    shown.fill("[name=text]", "memory phi-4")
    wanted = [run for run in failed if "memory" in (run.failure or "") and run.base == "Phi-4"]
    assert shown.locator(".runs .run").count() == len(wanted)
    again = show(history, at=shown.evaluate("location.hash"))
    assert again.locator(".runs .run").count() == len(wanted)
    again.click("button[type=reset]")
    again.wait_for_function("document.querySelectorAll('.runs .run').length === 100")
    assert again.evaluate("location.hash") in ("", "#")


@pytest.mark.slow
def test_columns_sort_and_rows_open(show: Any) -> None:
    history = runs(300)
    shown = show(history)
    shown.get_by_role("button", name="cost", exact=True).click()
    dearest = max(history, key=lambda run: run.cost_usd or 0)
    first = shown.locator(".runs .run").first
    assert f"${dearest.cost_usd:,.2f}" in first.text_content()
    first.locator(".open").press("Enter")
    facts = shown.locator(".facts").text_content()
    assert str(dearest.job) in facts
    assert "train" in facts
    first.locator(".open").press("Enter")
    assert shown.locator(".facts").count() == 0
    shown.click(".more")
    assert shown.locator(".runs .run").count() == 200


@pytest.mark.slow
def test_runs_that_are_ticked_are_shown_beside_each_other(show: Any) -> None:
    history = runs(60)
    shown = show(history)
    compared = shown.locator(".compared")
    one, other = (
        next(at for at, run in enumerate(history) if run.state == "completed" and run.settings[RATE] == rate)
        for rate in (5e-6, None)
    )
    shown.locator(".tick").nth(one).check()
    assert "Tick another" in compared.text_content()
    shown.locator(".tick").nth(other).check()
    lines = dict(_lines(compared))
    assert lines[RATE] == ["5e-06", "–"]
    assert lines["cost"] == [figures.dollars(history[at].cost_usd) for at in (one, other)]
    assert lines["eval loss"][0].endswith(f"→ {history[one].eval_loss:.3f}")
    assert "wait.budget_usd" not in lines
    again = show(history, at=shown.evaluate("location.hash"))  # the address is enough to show it to somebody
    assert dict(_lines(again.locator(".compared"))) == lines
    again.get_by_role("button", name="Untick all").click()
    assert again.locator(".compared").is_hidden()
    assert again.locator(".tick:checked").count() == 0
    assert again.evaluate("location.hash") in ("", "#")


def _lines(compared: Any) -> Iterator[tuple[str, list[str]]]:
    for line in compared.locator("tbody tr:has(td)").all():
        yield line.locator("th").text_content(), line.locator("td").all_text_contents()


@pytest.mark.slow
def test_what_runs_report_never_runs(show: Any) -> None:
    shown = show([*map(_evil, runs(12))])
    for opener in shown.locator(".open").all():
        opener.click()
    for tick in shown.locator(".tick").all()[:2]:
        tick.check()
    assert EVIL in shown.locator(".compared").text_content()
    assert shown.title() == "Fine-tune history"
    assert shown.locator("img").count() == 0
    assert EVIL in shown.locator(".facts").first.text_content()


@pytest.mark.slow
def test_it_is_as_wide_as_the_screen(show: Any) -> None:
    shown = show(runs(200), 320)
    shown.locator(".open").first.click()
    for width in (320, 390, 768, 1280):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
def test_it_is_as_light_or_dark_as_the_desktop(show: Any) -> None:
    shown, grounds = show(runs(20)), []
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        grounds.append(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(245, 247, 249)", "rgb(17, 21, 26)"]


@pytest.mark.slow
def test_the_page_draws_as_much_for_five_thousand_runs_as_for_five_hundred(show: Any) -> None:
    """What a browser takes time for is the elements that there are; the rows come when they are asked for."""
    elements = []
    for count in (500, 5000):
        shown = show(runs(count))
        assert f"{count:,} runs" in shown.text_content(".sum")
        assert shown.locator(".runs .run").count() == 100
        elements.append(shown.evaluate("document.getElementsByTagName('*').length"))
    assert elements[1] < 1.5 * elements[0]


@pytest.mark.slow
def test_a_run_adds_a_kilobyte_to_the_page() -> None:
    few, many = (len(page(runs(count), now=NOW).encode()) for count in (100, 5000))
    assert (many - few) / 4900 < 1500

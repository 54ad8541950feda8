"""Which run of a group wins, what repeated ones say of chance, and how a group is shown."""

from __future__ import annotations

from base64 import b64decode

import pytest

from flows.trials import page
from flows.trials.grid import SEED
from flows.trials.result import End, SweepReport, Tried, repeated, winner
from tasks.evaluation.interval import of_repeated

RATE = "parameters.training.learning_rate"


def tried(number: int, loss: float | None, end: End = End.TRAINED, **settings: str) -> Tried:
    named = {{"rate": RATE, "seed": SEED}[name]: value for name, value in settings.items()}
    return Tried(number=number, settings=named, end=end, eval_loss=loss, base_loss=2.0, dollars=0.5)


def test_the_lowest_held_out_loss_wins() -> None:
    rows = [tried(1, 1.5, rate="1"), tried(2, 1.2, rate="2"), tried(3, 1.1, End.FAILED, rate="3")]
    assert winner(rows) == 2
    assert winner([tried(1, None), tried(2, None, End.FAILED)]) is None


def test_a_lucky_seed_does_not_make_a_setting_win() -> None:
    lucky = [tried(1, 1.0, rate="1", seed="1"), tried(2, 1.6, rate="1", seed="2")]
    steady = [tried(3, 1.2, rate="2", seed="1"), tried(4, 1.1, rate="2", seed="2")]
    assert winner([*lucky, *steady]) == 4
    first, second = repeated([*lucky, *steady])
    assert (first.settings, first.numbers) == ({RATE: "1"}, (1, 2))
    assert second.loss.mean == pytest.approx(1.15)
    assert second.loss.low < 1.1 < 1.2 < second.loss.high
    assert repeated([tried(1, 1.0, rate="1"), tried(2, 1.2, rate="2")]) == ()


def test_the_interval_of_repeated_trainings_is_students() -> None:
    """The values of Student's table: 12.706 at one degree of freedom, 2.776 at four, 2.086 at twenty."""
    assert of_repeated([0.0, 2.0]).high == pytest.approx(1 + 12.706, abs=1e-3)
    five = of_repeated([1.0, 2.0, 3.0, 4.0, 5.0])
    assert five.high - five.mean == pytest.approx(2.776 * 2.5**0.5 / 5**0.5, abs=1e-3)
    many = of_repeated([float(n % 2) for n in range(21)])
    assert (many.high - many.mean) / ((110 / 21 / 20) ** 0.5 / 21**0.5) == pytest.approx(2.086, abs=1e-3)
    with pytest.raises(ValueError, match="no spread"):
        of_repeated([1.0])


def test_the_page_has_the_best_first_the_failures_last_and_a_picture() -> None:
    rows = (
        tried(1, 1.5, rate="1"),
        tried(2, 1.2, rate="2"),
        tried(3, None, End.FAILED, rate="3").model_copy(update={"failure": "out of memory"}),
        tried(4, None, End.NOT_STARTED, rate="4").model_copy(update={"dollars": 0.0}),
    )
    report = SweepReport(sweep="s", recipe="local", tried=rows, winner=2)
    assert [line[0] for line in page.rows(report)] == ["2★", "1", "3", "4"]
    shown = page.page(report)
    assert "learning_rate 2 wins, held-out loss 1.200: 2 trained, 1 failed, 1 not started" in shown
    assert "$1.50 of training" in shown
    assert "failed: out of memory" in shown
    assert "no loss of a single conversation" in shown
    picture = page.picture(report)
    assert picture is not None
    assert b64decode(picture.partition(",")[2]).startswith(b"\x89PNG")
    assert page.picture(report.model_copy(update={"tried": rows[2:]})) is None

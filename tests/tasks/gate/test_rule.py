"""Rules of the gate: what is read, what is refused, and what they say of a model."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flows.run.config import Finetune
from tasks.gate.rule import Judgement, Measured, Metric, Model, Outcome, Rule
from tasks.sections.gate import Gate

TUNED: Measured = {Metric.EVAL_LOSS: 1.7, Metric.EMPTY_ANSWERS: 0, Metric.WIN_RATE: 0.5}
BASE: Measured = {Metric.EVAL_LOSS: 2.0}
INCUMBENT: Measured = {Metric.EVAL_LOSS: 1.68}
ALL: dict[Model | None, Measured] = {None: TUNED, Model.BASE: BASE, Model.INCUMBENT: INCUMBENT}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("eval_loss <= 1.8", Outcome.KEPT),
        ("eval_loss<1.7", Outcome.BROKEN),
        ("eval_loss <= 1.7", Outcome.KEPT),
        ("eval_loss <= incumbent * 1.02", Outcome.KEPT),  # 1.7136
        ("eval_loss <= incumbent", Outcome.BROKEN),
        ("eval_loss <= incumbent + 0.01", Outcome.BROKEN),
        ("eval_loss < base - .25", Outcome.KEPT),
        ("eval_loss < base / 2", Outcome.BROKEN),
        ("eval_loss < base * 8.6e-1", Outcome.KEPT),
        ("win_rate >= 0.55", Outcome.BROKEN),
        ("empty_answers == 0", Outcome.KEPT),
        ("empty_answers != 0", Outcome.BROKEN),
        ("eval_loss > -1", Outcome.KEPT),
        ("rouge_l >= 0.2", Outcome.UNKNOWN),
        ("win_rate > 0.4", Outcome.KEPT),
        ("empty_answers <= incumbent", Outcome.UNKNOWN),
    ],
)
def test_a_rule_is_kept_or_broken(rule: str, outcome: Outcome) -> None:
    assert Rule.parse(rule).held(ALL).outcome is outcome


def test_the_first_model_has_no_incumbent_to_be_held_against() -> None:
    held = Rule.parse("eval_loss <= incumbent").held({None: TUNED})
    assert held.outcome is Outcome.NO_INCUMBENT
    assert Judgement(held=(held,)).passed


def test_the_reasons_have_both_numbers() -> None:
    held = [
        Rule.parse(text).held(ALL) for text in ("eval_loss <= incumbent", "eval_loss <= 1.8", "chrf > 30")
    ]
    judgement = Judgement(held=tuple(held))
    assert not judgement.passed
    assert judgement.reasons == (
        "eval_loss <= incumbent: broken (1.7 beside 1.68)",
        "chrf > 30: unknown",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no rule"),
        ("eval_loss", "is no rule"),
        ("eval_loss <= ", "is no rule"),
        ("eval_loss =< 2", "is no rule"),
        ("eval_loss <= 1.8 or true", "is no rule"),
        ("eval_loss <= __import__('os')", "is no rule"),
        ("loss <= 2", "there is no metric 'loss'; there are eval_loss"),
        ("eval_loss <= champion", "'champion'; there are incumbent, base"),
        ("eval_loss <= base / 0", "divides by zero"),
        ("eval_loss <= 1e999", "no number"),
        ("win_rate >= incumbent", "hold it against a number"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_would_be(text: str, said: str) -> None:
    with pytest.raises(ValidationError, match="1 validation error") as error:
        Gate(rules=(text,))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"gate": {"rules": ["rouge_l >= 0.2"]}, "evaluation": {"prompts": 0}}, "set evaluation.prompts"),
        ({"gate": {"rules": ["win_rate >= 0.5"]}}, "set evaluation.judge.url"),
        ({"gate": {"rules": ["chrf > base"]}}, "needs deploy.compare_with_base"),
    ],
)
def test_a_rule_of_what_is_not_measured_is_refused_at_once(sections: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Finetune.model_validate(sections)
    assert said in str(error.value)


def test_rules_of_the_training_need_no_endpoint() -> None:
    assert [metric for metric in Metric if not metric.needs_endpoint] == [
        *(Metric.EVAL_LOSS, Metric.TRAIN_LOSS, Metric.PERPLEXITY)
    ]

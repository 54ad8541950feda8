"""What answers are held against: scores, the form, intervals, and a judge behind a chat endpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tasks.data.window import Window
from tasks.evaluation import form, score
from tasks.evaluation.evaluate import compare
from tasks.evaluation.interval import bootstrap
from tasks.evaluation.judge import Spending
from tasks.evaluation.judge import judged as judged_within
from tasks.evaluation.question import questions
from tasks.evaluation.result import Asked, Candidate, Fault, Scored, Verdicts
from tasks.invoke import Message
from tasks.sections.evaluation import Evaluation, Judge
from tests.support.checkout import ROOT
from tests.support.failures import fails

SAMPLE = ROOT / "tasks" / "data" / "sample" / "test_sft.jsonl"
ENGLISH = (
    "The harbour was quiet in the morning, and the fishermen had already gone out to sea. A few gulls sat on "
    "the wall and waited for them, as they do every day, while the baker opened his shop at the corner."
)
GERMAN = (
    "Der Hafen lag am Morgen still, und die Fischer waren schon auf das Meer hinausgefahren. Ein paar Möwen "
    "saßen auf der Mauer und warteten auf sie, wie jeden Tag, während der Bäcker seinen Laden öffnete."
)


def asked(tuned: str, base: str, reference: str = "yes", rouge: tuple[float, float] = (0.5, 0.5)) -> Asked:
    return Asked(
        messages=(Message(role="user", content="a question"),),
        reference=reference,
        answers={
            Candidate.TUNED: Scored(text=tuned, rouge_l=rouge[0], chrf=None, faults=()),
            Candidate.BASE: Scored(text=base, rouge_l=rouge[1], chrf=None, faults=()),
        },
    )


def test_an_answer_equal_to_the_reference_has_the_highest_scores_in_any_script() -> None:
    for text in (ENGLISH, GERMAN, "Москва стоит на реке"):
        assert score.rouge_l(text, text) == pytest.approx(1.0)
        assert score.chrf(text, text) == pytest.approx(100.0)
    assert score.rouge_l("one two three four", "one three") == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert (score.rouge_l("", ENGLISH), score.chrf("", ENGLISH)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("the cat sat on the mat", "the cat was on the mat", 0.8333333333333334),
        ("a b c d", "d c b a", 0.25),
        ("same words here", "Same WORDS, here!", 1.0),
        ("Grüße aus Köln am Rhein", "viele Grüße aus Bonn am Rhein", 0.7272727272727272),
        ("猫 は かわいい", "犬 は かわいい です", 0.5714285714285715),
        ("x y x y x", "y x y", 0.75),
        ("one", "two", 0.0),
        ("?!", ".", 0.0),
    ],
)
def test_rouge_is_that_of_the_package_of_papers(answer: str, reference: str, wanted: float) -> None:
    """The numbers are those of rouge-score 0.1.2, given the same words."""
    assert score.rouge_l(answer, reference) == pytest.approx(wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (ENGLISH, []),
        (" \n", [Fault.EMPTY]),
        ("I am a model. " * 30, [Fault.RUNAWAY, Fault.CUT]),
        (ENGLISH * 2, [Fault.CUT]),
        (GERMAN, [Fault.LANGUAGE]),
        ("Ja.", []),  # too short to tell
    ],
)
def test_the_form_of_an_answer(answer: str, found: list[Fault]) -> None:
    assert list(form.faults(answer, ENGLISH, Window(), 90)) == found


def test_questions_are_drawn_by_the_seed_and_none_comes_twice(tmp_path: Path) -> None:
    some = questions(SAMPLE, 5, 1)
    assert some == questions(SAMPLE, 5, 1)
    assert some != questions(SAMPLE, 5, 2)
    assert len({each.messages for each in some}) == 5
    assert all(each.messages[-1].role == "user" and each.reference for each in some)
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    twice = tmp_path / "twice.jsonl"
    twice.write_text(f"{json.dumps(row)}\n\n{json.dumps(row)}\n")
    assert len(questions(twice, 9, 0)) == 1


def test_noise_is_not_called_a_difference() -> None:
    noise = bootstrap([0.3, -0.3, 0.2, -0.25, 0.1, -0.05], 0)
    assert not noise.is_seen
    assert noise.low < 0 < noise.high
    clear = bootstrap([0.3, 0.25, 0.2, 0.4, 0.35, 0.3], 0)
    assert clear.is_seen
    assert 0.2 <= clear.low <= clear.mean <= clear.high <= 0.4
    assert bootstrap([1.0] * 4, 3).low == 1.0
    assert clear == bootstrap([0.3, 0.25, 0.2, 0.4, 0.35, 0.3], 0)


def test_models_are_compared_conversation_by_conversation() -> None:
    every = [asked("a", "b", rouge=(0.5 + 0.01 * n, 0.2 + 0.01 * n)) for n in range(8)]
    (against,) = compare(Evaluation(), every, Spending(Judge()))
    assert against.other is Candidate.BASE
    assert against.rouge_l is not None
    assert against.rouge_l.mean == pytest.approx(0.3)
    assert against.rouge_l.count == 8
    assert (against.chrf, against.judged) == (None, None)


Answer = Callable[[str], tuple[int, str]]


@pytest.fixture
def endpoint() -> Iterator[Callable[[Answer], tuple[str, list[dict[str, Any]]]]]:
    """Starts a chat endpoint whose answers follow from what it is asked: its address, and what it got."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> tuple[str, list[dict[str, Any]]]:
        got: list[dict[str, Any]] = []

        class Chat(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got.append({**body, "path": self.path, "key": self.headers["Authorization"]})
                status, said = answer(body["messages"][-1]["content"])
                usage = {"prompt_tokens": 90, "completion_tokens": 1}
                answered = {"choices": [{"message": {"role": "assistant", "content": said}}]}
                content = json.dumps({**answered, "usage": usage} if said != "tie" else answered)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1", got

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def judged(judge: Judge, every: list[Asked], other: Candidate, seed: int) -> Verdicts | None:
    return judged_within(Spending(judge), judge, every, other, seed)


def prefers_good(text: str) -> tuple[int, str]:
    first = text.partition("Answer A:")[2].partition("Answer B:")[0]
    second = text.partition("Answer B:")[2]
    return 200, "A" if "good" in first else "B." if "good" in second else "tie"


def test_a_judge_is_asked_in_both_orders_and_places_win_nothing(
    endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [asked("good", "bad"), asked("good", "bad"), asked("bad", "good"), asked("poor", "bad")]
    url, got = endpoint(prefers_good)
    monkeypatch.setenv("A_JUDGES_KEY", "k-12345")
    verdicts = judged(Judge(url=url, key_variable="A_JUDGES_KEY"), every, Candidate.BASE, 0)
    assert verdicts is not None
    assert (verdicts.wins, verdicts.ties, verdicts.losses) == (2, 1, 1)
    assert verdicts.rate.mean == pytest.approx(2.5 / 4)
    assert verdicts.rate.low < verdicts.rate.mean < verdicts.rate.high
    assert len(got) == 8
    assert {each["path"] for each in got} == {"/v1/chat/completions"}
    assert {each["key"] for each in got} == {"Bearer k-12345"}
    always_first, _ = endpoint(lambda text: (200, "A"))
    verdicts = judged(Judge(url=always_first), every, Candidate.BASE, 0)
    assert verdicts is not None
    assert verdicts.ties == 4


def test_a_judge_that_cannot_be_asked_is_one_line(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [asked("a", "b")]
    monkeypatch.delenv("A_JUDGES_KEY", raising=False)
    refused, _ = endpoint(lambda text: (401, ""))
    with fails(Cause.ANSWER, "answers 401", "evaluation.judge"):
        judged(Judge(url=refused), every, Candidate.BASE, 0)
    with fails(Cause.UNREACHABLE, "cannot be reached", "evaluation.judge.url"):
        judged(Judge(url="http://127.0.0.1:9/v1"), every, Candidate.BASE, 0)
    with fails(Cause.CONFIGURATION, "A_JUDGES_KEY is not set"):
        judged(Judge(url=refused, key_variable="A_JUDGES_KEY"), every, Candidate.BASE, 0)
    assert judged(Judge(url=refused), every, Candidate.INCUMBENT, 0) is None


@pytest.mark.parametrize(
    ("budget", "requests", "left_out"),
    [
        ({}, 8, 0),
        ({"budget_requests": 5}, 4, 2),
        ({"budget_tokens": 500}, 4, 2),
        ({"budget_tokens": 100}, 0, 4),
        ({"budget_usd": 0.0005, "input_price": 1, "output_price": 1}, 4, 2),
    ],
)
def test_a_judge_is_asked_as_much_as_its_budget_pays_for(
    endpoint: Any, budget: dict[str, Any], requests: int, left_out: int
) -> None:
    """Before a pair is asked about it is estimated, at 214 tokens; afterwards it counts with its 182."""
    url, got = endpoint(prefers_good)
    section = Evaluation.model_validate({"judge": {"url": url, **budget}})
    spending = Spending(section.judge)
    (against,) = compare(section, [asked("good", "bad")] * 4, spending)
    bill = spending.bill
    assert (len(got), bill.requests, bill.tokens, bill.left_out) == (
        requests,
        requests,
        91 * requests,
        left_out,
    )
    assert bill.tokens <= budget.get("budget_tokens", bill.tokens)
    assert (bill.dollars or 0) <= budget.get("budget_usd", 0)
    assert (against.judged.left_out if against.judged else 4) == left_out
    assert not bill.estimated


def test_tokens_are_estimated_where_the_judge_does_not_count_them(endpoint: Any) -> None:
    url, _ = endpoint(lambda text: (200, "tie"))
    spending = Spending(Judge(url=url))
    compare(Evaluation(judge=Judge(url=url)), [asked("a", "b")], spending)
    assert spending.bill.estimated
    assert "2 requests, about " in str(spending.bill)


def test_a_budget_in_dollars_needs_the_prices() -> None:
    with pytest.raises(ValueError, match="input_price"):
        Judge(url="http://127.0.0.1/v1", budget_usd=1)

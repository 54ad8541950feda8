"""The evaluation on a run's page: differences with their intervals, and every answer beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from flows.artifacts.markdown import quoted, table
from flows.run import figures
from tasks.core.artifacts import create_markdown_artifact, create_table_artifact
from tasks.core.display import displaying
from tasks.evaluation.result import Against, Asked, Candidate, Evaluation, Fault, Interval
from tasks.gate.rule import Judgement
from tasks.promotion import Version

KEY, GATE = "finetune-evaluation", "finetune-gate"
_SHOWN = 1500  # characters of an answer


def publish(evaluation: Evaluation, incumbent: Version | None) -> None:
    with displaying():
        create_markdown_artifact(
            page(evaluation, incumbent), key=KEY, description="Answers to held-out questions, side by side"
        )


def publish_judgement(judgement: Judgement) -> None:
    rows = [
        {
            "rule": held.rule,
            "outcome": held.outcome.value,
            "value": held.value,
            "held against": held.bound,
        }
        for held in judgement.held
    ]
    if rows:
        with displaying():
            create_table_artifact(rows, key=GATE, description="The rules of the gate, as they were found")


def page(evaluation: Evaluation, incumbent: Version | None) -> str:
    """Scores of each model, differences, then the conversations."""
    parts = [f"# Evaluation on {len(evaluation.asked)} held-out conversations", _scores(evaluation)]
    if evaluation.against:
        parts.append(_differences(evaluation))
    if incumbent is not None:
        parts.append(f"The incumbent is `{incumbent.name}:{incumbent.version}`, by its own evaluation.")
    if evaluation.judge:
        parts.append(f"The judge was asked: {evaluation.judge}.")
    if evaluation.note:
        parts.append(f"Note: {evaluation.note}.")
    parts += [_conversation(number, each) for number, each in enumerate(evaluation.asked, 1)]
    return "\n\n".join(parts)


def difference(interval: Interval | None, digits: int = 3) -> str:
    """Such as `+0.042 (0.010 to 0.075)`, with a word where it may be chance."""
    if interval is None:
        return figures.NONE
    chance = "" if interval.is_seen else ", may be chance"
    return f"{interval.mean:+.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f}{chance})"


def _scores(evaluation: Evaluation) -> str:
    faults = [fault.value for fault in Fault]
    rows = [
        [
            candidate.value,
            figures.NONE if (rouge := evaluation.rouge_l(candidate)) is None else f"{rouge:.3f}",
            figures.NONE if (chrf := evaluation.chrf(candidate)) is None else f"{chrf:.1f}",
            *(str(evaluation.faults(fault, candidate)) for fault in Fault),
        ]
        for candidate in Candidate
        if evaluation.of(candidate)
    ]
    return table(["model", "ROUGE-L", "chrF", *faults], rows, right=range(1, 3 + len(faults)))


def _differences(evaluation: Evaluation) -> str:
    rows = [
        [
            f"tuned − {against.other}",
            difference(against.rouge_l),
            difference(against.chrf, 1),
            _judged(against),
        ]
        for against in evaluation.against
    ]
    return table(["mean difference (95 %)", "ROUGE-L", "chrF", "judged: wins, ties, losses"], rows)


def _judged(against: Against) -> str:
    found = against.judged
    if found is None:
        return figures.NONE
    rate = found.rate
    return f"{found.wins}, {found.ties}, {found.losses}: {rate.mean:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def _conversation(number: int, asked: Asked) -> str:
    lines = [f"## {number}", *_turns(asked), f"**the data**\n\n{_short(asked.reference)}"]
    for candidate, answer in asked.answers.items():
        wrong = f" — {', '.join(answer.faults)}" if answer.faults else ""
        rouge = "" if answer.rouge_l is None else f", ROUGE-L {answer.rouge_l:.2f}"
        lines.append(f"**{candidate}**{rouge}{wrong}\n\n{_short(answer.text)}")
    return "\n\n".join(lines)


def _turns(asked: Asked) -> Iterator[str]:
    for message in asked.messages:
        yield f"**{message.role}**\n\n{_short(message.content)}"


def _short(text: str) -> str:
    return quoted(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")

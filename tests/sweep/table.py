"""The sweep's outcome: what each case amounts to, and the table of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.sweep import kinds
from tests.sweep.run import Ended
from tests.sweep.worker import Tried

_HEAD = (
    "trouble",
    "tried",
    "survived",
    "failed clean",
    "unclear",
    "reaped later",
    "leaked",
    "paid twice",
    "hung",
    "ledger differs",
    "dollars off",
)
_TOLERANCE, _CENTS = 0.02, 0.0005  # of what the ledger has; runs of seconds cost less than a cent


@dataclass(frozen=True)
class Verdict:
    """A case in a word each: whether its trouble happened, how the run ended, what it left."""

    happened: bool
    survived: bool
    unclear: bool
    left: bool
    leaked: bool
    paid_twice: bool
    hung: bool
    disagrees: bool
    dollars_off: bool

    @property
    def bad(self) -> bool:
        """Whether it is what must not happen at all."""
        return self.unclear or self.leaked or self.paid_twice or self.hung or self.disagrees


def judge(tried: Tried) -> Verdict:
    """What the case amounts to.

    A run whose process was lost has survived when the second one completes, and one that a person wanted gone
    when it says so and nothing of it costs any more: where it goes on instead, that is unclear. Others must
    say how they ended.
    """
    kind = tried.case.kind
    last = tried.second if kind in kinds.LOSING and not _completed(tried.first) else tried.first
    # Once the trouble is over, a run must complete.
    again = tried.second is None or tried.second.completed
    survived = _completed(last)
    is_ignored = kind in kinds.INTERRUPTING and survived and not _is_last(tried)
    if kind in kinds.INTERRUPTING and not survived:
        survived = last is not None and last.clear and not tried.billed and again
    return Verdict(
        happened=tried.happened or tried.hung,  # one that hung has noted no stages
        survived=survived and not is_ignored,
        unclear=is_ignored or (not survived and (last is None or not last.clear)) or not again,
        left=bool(tried.audit.left),
        leaked=bool(tried.audit.leaked or tried.billed or tried.audit.touched),
        paid_twice=tried.audit.paid_twice,
        hung=tried.hung,
        disagrees=tried.audit.disagrees,
        dollars_off=_is_off(tried),
    )


def _is_last(tried: Tried) -> bool:
    """Whether the boundary is the end of the run's last stage, after which there is nothing to interrupt."""
    return tried.first is not None and tried.case.at == len(tried.first.stages)


def _is_off(tried: Tried) -> bool:
    """Whether the report of the only run that there was says otherwise than the ledger."""
    said = tried.first.dollars if tried.first else None
    if said is None or tried.second is not None or tried.case.kind in kinds.TOGETHER:
        return False
    paid = tried.audit.dollars
    return abs(said - paid) > max(_TOLERANCE * paid, _CENTS)


def _completed(ended: Ended | None) -> bool:
    return ended is not None and ended.completed


def table(results: Iterable[Tried]) -> str:
    """A row for each kind and one for all, in markdown; troubles that a run did not reach are left out."""
    judged = [(tried.case.kind, verdict) for tried in results if (verdict := judge(tried)).happened]
    rows = [_row(kind, [verdict for k, verdict in judged if k == kind]) for kind in kinds.KINDS]
    rows = [row for row in rows if row[1] != "0"] + [_row("**all**", [verdict for _, verdict in judged])]
    lines = [_HEAD, ("---", *("---:" for _ in _HEAD[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def explain(tried: Tried) -> str:
    """One line for a case that did not end as it should."""
    ended = tried.second if tried.case.kind in kinds.LOSING or tried.first is None else tried.first
    said = "no word" if ended is None else ended.message
    marks = [name for name, value in vars(judge(tried)).items() if value and name != "happened"]
    how = ", ".join(marks) or "failed clean"
    found = ", ".join((*tried.billed, *tried.audit.leaked, *tried.audit.running))
    return f"{tried.case.kind} at {tried.case.at}: {how}: {said} {found}".rstrip()


def _row(name: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    survived = sum(verdict.survived for verdict in verdicts)
    share = f" ({100 * survived / len(verdicts):.1f} %)" if verdicts else ""
    failed = [verdict for verdict in verdicts if not verdict.survived]
    return (
        name,
        str(len(verdicts)),
        f"{survived}{share}",
        str(sum(not verdict.unclear for verdict in failed)),
        str(sum(verdict.unclear for verdict in verdicts)),
        str(sum(verdict.left for verdict in verdicts)),
        str(sum(verdict.leaked for verdict in verdicts)),
        str(sum(verdict.paid_twice for verdict in verdicts)),
        str(sum(verdict.hung for verdict in verdicts)),
        str(sum(verdict.disagrees for verdict in verdicts)),
        str(sum(verdict.dollars_off for verdict in verdicts)),
    )

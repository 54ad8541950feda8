"""The cause of a failure in a word or two: few enough of them to count, to colour and to alert on."""

from __future__ import annotations

import re

OTHER = "other"

# What a cancelled or crashed run may have said before, and what is then its cause all the same.
_LIMITS = (
    (r"budget of \$", "budget reached"),
    (r"took longer than|tim(ed|e) ?-?out|has been \w+ for \d+ minutes|is still \w+ after", "timed out"),
)
# The first pattern that occurs in the failure names its cause. The sentences are those of tasks/.
_CAUSES = (
    *_LIMITS,
    (r"quota", "quota"),
    (r"no free machines", "no capacity"),
    (r"out of memory|OutOfMemory", "out of memory"),
    (r"accept the sign-in|signed-in identity|refuses key access|not registered for", "sign-in and rights"),
    (r"out of reach|could not be reached", "Azure out of reach"),
    (
        r"cannot be (fine-tuned|deployed) on|no managed endpoint|K80 GPUs|has no GPU|VM size|nodes at most"
        r"|The cluster|not a cluster",
        "compute",
    ),
    (r"endpoint.{0,60}name.{0,40}taken|endpoint.{0,80}serves the job", "endpoint name taken"),
    (r"container did not become ready|The deployment \S+ is ", "container not ready"),
    (r"gave no answer", "no answer"),
    (r"could not be deleted", "not deleted"),
    (r"\brows? .*(bad|left|in which)|no rows|test split|no column|breaks off|parquet|data ?set", "data"),
    (r"The step .* failed|ended as|attempts at the job", "job failed"),
    (
        r"has no (model|component|workspace|input|output)|Which workspace|workspace file|The parameter"
        r"|configuration is wrong|no such field|validation",
        "wrong parameters",
    ),
)


def cause_of(state: str, text: str) -> str:
    """The cause of an unsuccessful run, from its state (failed, crashed, cancelled) and what it said."""
    if state in ("cancelled", "crashed"):
        return _first(_LIMITS, text) or state
    return _first(_CAUSES, text) or OTHER


def _first(causes: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((cause for pattern, cause in causes if re.search(pattern, text, re.IGNORECASE)), None)

"""What can go wrong with one HTTP call, as rules of the local workspace's fault switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KILL = "SIGKILL"  # of the process, at a stage's beginning or end, instead of a fault of a call
READ_TIMEOUT = 3.0  # seconds that the clients of a swept run wait for an answer
_PAST_TIMEOUT = 2 * READ_TIMEOUT

# Name in the table -> the rule without the call that it hits.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "429": {
        "kind": "status",
        "status": 429,
        "code": "TooManyRequests",
        "message": "Too many requests.",
        "headers": {"Retry-After": "1"},
    },
    "500": {
        "kind": "status",
        "status": 500,
        "code": "InternalServerError",
        "message": "An internal error occurred.",
    },
    "503": {"kind": "status", "status": 503},
    "reset before": {"kind": "reset"},
    "reset after": {"kind": "reset", "acted": True},
    "delay": {"kind": "delay", "seconds": _PAST_TIMEOUT},
    "expired token": {"kind": "expired-token"},
    "truncated": {"kind": "truncate"},
}
KINDS = (*FAULTS, KILL)


def rule(kind: str, call: int) -> dict[str, Any]:
    """The rule that lets the call of that number, counted from one over the whole run, go wrong."""
    return {**FAULTS[kind], "path": "/**", "nth": call}


def counting() -> dict[str, Any]:
    """A rule that only counts calls."""
    return {"kind": "status", "path": "/**", "nth": 10**9}

"""What can go wrong with one HTTP call, as rules of the local workspace's fault switch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# At a stage's beginning or end, instead of a fault of a call. Of the process:
KILL, TERM, HUP = "SIGKILL", "SIGTERM", "SIGHUP"
STOP = "SIGSTOP, SIGCONT"
INTERRUPT, TWICE = "Ctrl-C", "Ctrl-C twice"
# Of the service: it is away for so many minutes on the flow's own clock.
AWAY = {"away 1 min": 1.0, "away 10 min": 10.0}
LOCKED = "Prefect's database locked"
RESTARTED = "Prefect's server killed, restarted"
WORKER = "worker killed alone"  # at the beginning of a stage of a deployment's run
PAIR = "two faults"  # of two calls, of two kinds
# Of several runs of one job; the other run is given up, and the first one's training must not notice.
CANCELLED, TIMED_OUT, BUDGET = "other run cancelled", "other run timed out", "other run over budget"
TEN = "ten runs at once"
REAPED = "reap beside"
READ_TIMEOUT = 3.0  # seconds that the clients of a swept run wait for an answer
_DELAY = 2 * READ_TIMEOUT
# What no setting shortens: azure-storage-blob's own time-out, and the endpoint's for an answer.
_LONG_DELAYS = {"/azureml-blobstore/": 65.0, "/inference/": 200.0}
_OWN_NAME = re.compile(r"^sweep-|\d{6}|[0-9a-f]{12}")  # in a path's part: what another run has otherwise

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
    "delay": {"kind": "delay", "seconds": _DELAY},
    "expired token": {"kind": "expired-token"},
    "truncated": {"kind": "truncate"},
}
LOSING = (KILL, TERM, HUP)  # the process is lost, and another one goes on with its job
INTERRUPTING = (INTERRUPT, TWICE)  # a person wants the run gone
AT_STAGES = (*LOSING, *INTERRUPTING, STOP, *AWAY, LOCKED, RESTARTED)
OF_OWN_SERVER = (LOCKED, RESTARTED, WORKER)  # nobody else may be at Prefect's server
TOGETHER = (CANCELLED, TIMED_OUT, BUDGET, TEN, REAPED)
KINDS = (*FAULTS, PAIR, *AT_STAGES, WORKER, *TOGETHER)


@dataclass(frozen=True)
class Call:
    """One HTTP call of a run: the nth of its method and path, in which `*` stands for names of its own."""

    method: str
    path: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" ({self.nth})" if self.nth > 1 else "")


def rule(kind: str, call: Call) -> dict[str, Any]:
    """The rule that lets this one call of a run go wrong."""
    fault = dict(FAULTS[kind])
    if fault["kind"] == "delay":
        fault["seconds"] = seconds(kind, call)
    return {**fault, "method": call.method, "path": call.path, "nth": call.nth}


def seconds(kind: str, call: Call) -> float:
    """How long this trouble of a call lasts."""
    if FAULTS[kind]["kind"] != "delay":
        return 0.0
    return next((s for part, s in _LONG_DELAYS.items() if part in call.path), _DELAY)


def rules(kind: str, at: Call | tuple[str, Call, str, Call]) -> list[dict[str, Any]]:
    """The rules of one fault, or of two."""
    if isinstance(at, Call):
        return [rule(kind, at)]
    one, first, other, then = at
    return [rule(one, first), rule(other, then)]


def watching() -> dict[str, Any]:
    """A rule that changes nothing and remembers every call."""
    return {"kind": "delay", "seconds": 0, "path": "/**", "count": None}


def calls(hit: Iterable[str]) -> tuple[Call, ...]:
    """The calls of a run, in their order, from what a rule has hit."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for each in hit:
        method, _, path = each.partition(" ")
        route = "/".join("*" if _OWN_NAME.search(part) else part for part in path.split("/"))
        seen[method, route] += 1
        found.append(Call(method, route, seen[method, route]))
    return tuple(found)

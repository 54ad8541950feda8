"""Fault injection: rules as data, counted as calls come by.

A rule watches requests by method and path, and the workspace's own doings, which have calls of their own:

    RUN       /jobs/JOB/STEP                    a step is about to run; a command job is its own, without STEP
    ALLOCATE  /computes/CLUSTER                 a step asks the cluster for nodes
    START     /onlineEndpoints/E/deployments/D  a deployment's container is about to start
    FREE      /onlineEndpoints/E                an endpoint is deleted, and its name about to be free
"""

from __future__ import annotations

import json
import re
import threading
import types
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, overload

T = TypeVar("T")
U = TypeVar("U")

# Set while a request is handled whose long operation must not end by itself.
operation_sticks: ContextVar[bool] = ContextVar("operation_sticks", default=False)


@dataclass(frozen=True)
class Status:
    """The server does nothing and answers that; without a body, with an error in the service's shape.

    Without a code, with the error that such a status has: of too many requests, or of a busy server.
    """

    status: int = 503
    code: str = ""
    message: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delay:
    """The server acts after so many seconds, None: never; or as soon as other rules are in force."""

    seconds: float | None


@dataclass(frozen=True)
class Reset:
    """The connection is reset without an answer, before the server acted or after."""

    acted: bool = False


@dataclass(frozen=True)
class Truncate:
    """The server acts and answers, and the connection ends after so many bytes of the body; None: half."""

    bytes: int | None = None


@dataclass(frozen=True)
class Stuck:
    """The long operation that the request begins does not end until `/admin/operations/step` is asked to."""


@dataclass(frozen=True)
class Quota:
    """The request is refused for lack of quota, with the code that Azure has for such a resource."""

    message: str = "Not enough quota available. Current usage/limit: 24/24. Please ask for more quota."


@dataclass(frozen=True)
class ExpiredToken:
    """The request's token counts as expired."""


@dataclass(frozen=True)
class NoCapacity:
    """ALLOCATE: there are no nodes for so many seconds, None for ever. START: the deployment fails for it."""

    seconds: float | None = None


@dataclass(frozen=True)
class StepFailure:
    """RUN: instead of the step's command one that says the message and ends with the code."""

    exit_code: int = 1
    message: str = "RuntimeError: a fault rule makes this step fail"


@dataclass(frozen=True)
class Preemption:
    """RUN: the node is taken away after so many seconds, and the step goes back to the queue."""

    seconds: float = 0.0


@dataclass(frozen=True)
class Crash:
    """START: the container's process is killed after so many seconds."""

    seconds: float = 0.0


@dataclass(frozen=True)
class LostLock:
    """START: the deployment's operation is cancelled for one that came before it."""


@dataclass(frozen=True)
class Updating:
    """The request for a deployment is refused as if its endpoint were still updating, whatever a GET says."""


@dataclass(frozen=True)
class HeldName:
    """FREE: the endpoint's name stays taken for so many seconds; `missing`: 404 is what a PUT is told."""

    seconds: float = 300.0
    missing: bool = False


Fault = (
    Status
    | Delay
    | Reset
    | Truncate
    | Stuck
    | Quota
    | ExpiredToken
    | NoCapacity
    | StepFailure
    | Preemption
    | Crash
    | LostLock
    | Updating
    | HeldName
)

KINDS: Mapping[str, type[Fault]] = {
    "status": Status,
    "delay": Delay,
    "reset": Reset,
    "truncate": Truncate,
    "stuck": Stuck,
    "quota": Quota,
    "expired-token": ExpiredToken,
    "no-capacity": NoCapacity,
    "step-failure": StepFailure,
    "preemption": Preemption,
    "crash": Crash,
    "lost-lock": LostLock,
    "updating": Updating,
    "held-name": HeldName,
}


_HIT = 2000  # calls that a rule remembers to have made fail


class BadRule(ValueError):
    """A rule that cannot be understood; the message says which and why."""


@dataclass(frozen=True)
class Rule:
    """When a fault happens: from the nth matching call on, for `count` calls (None: all).

    `path` is matched with the end of the call's path, or all of it when it begins with a slash; `*` stands
    for anything between two slashes, `**` for anything. Case does not matter.
    """

    path: str
    fault: Fault
    method: str | None = None
    nth: int = 1
    count: int | None = 1

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule counts that call."""
        return (self.method or method).upper() == method.upper() and bool(_pattern(self.path).fullmatch(path))

    def due(self, call: int) -> bool:
        """Whether it happens at that matching call, counted from one."""
        return call >= self.nth and (self.count is None or call < self.nth + self.count)


class Faults:
    """The rules in force, how many calls each has matched, and which it made fail. Thread-safe."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._lock = threading.Lock()
        self._replaced: Future[None] = Future()
        self.replace(rules)

    def replace(self, rules: Sequence[Rule]) -> None:
        """Put these rules in force instead, with their counts at zero."""
        with self._lock:
            self._replaced, before = Future[None](), self._replaced
            self._rules: tuple[Rule, ...] = tuple(rules)
            self._calls: list[int] = [0] * len(rules)
            self._hit: list[deque[str]] = [deque(maxlen=_HIT) for _ in rules]
        before.set_result(None)

    @property
    def replaced(self) -> Future[None]:
        """Done as soon as other rules are in force."""
        return self._replaced

    @overload
    def at(self, method: str, path: str, kind: type[T], /) -> T | None: ...
    @overload
    def at(self, method: str, path: str, kind: type[T], other: type[U], /) -> T | U | None: ...
    @overload
    def at(self, method: str, path: str, /, *kinds: type[Fault]) -> Fault | None: ...
    def at(self, method: str, path: str, /, *kinds: type[Any]) -> Any:
        """The fault due at this call, of the first rule that has one; every rule that matches counts it.

        With `kinds` only the rules with such faults are asked, and count.
        """
        found = None
        with self._lock:
            for index, rule in enumerate(self._rules):
                if kinds and not isinstance(rule.fault, kinds):
                    continue
                if rule.matches(method, path):
                    self._calls[index] += 1
                    if found is None and rule.due(self._calls[index]):
                        found = rule.fault
                        self._hit[index].append(f"{method} {path}")
        return found

    def report(self) -> list[dict[str, Any]]:
        """The rules with the number of calls that each has seen, and the last that it hit, as JSON."""
        with self._lock:
            seen = [
                (rule, calls, list(hit))
                for rule, calls, hit in zip(self._rules, self._calls, self._hit, strict=True)
            ]
        return [
            {
                "kind": next(name for name, kind in KINDS.items() if isinstance(rule.fault, kind)),
                "method": rule.method,
                "path": rule.path,
                "nth": rule.nth,
                "count": rule.count,
                "calls": calls,
                "hit": hit,
            }
            for rule, calls, hit in seen
        ]


def read(path: Path) -> list[Rule]:
    """The rules of a YAML or JSON file: a list, or an object with the list under `faults`; raises BadRule."""
    import yaml

    try:
        return parse(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadRule(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())  # PyYAML says it in several lines
        raise BadRule(f"{path} is not valid YAML: {what}.") from error
    except BadRule as error:
        raise BadRule(f"{path}: {error}") from error


def parse(document: Any) -> list[Rule]:
    """The rules of a list, or of an object with the list under `faults`; raises BadRule."""
    given = document.get("faults") if isinstance(document, dict) else document
    if not isinstance(given, list):
        raise BadRule("give a list of rules, or an object with a list 'faults'.")
    return [_rule(number, each) for number, each in enumerate(given, 1)]


def _rule(number: int, given: Any) -> Rule:
    if not isinstance(given, dict):
        raise BadRule(f"rule {number} must be an object, not {json.dumps(given, default=str)[:80]}.")
    kind = KINDS.get(str(given.get("kind")))
    if kind is None:
        raise BadRule(
            f"rule {number} has the kind {given.get('kind')!r}; it must be one of {', '.join(KINDS)}."
        )
    when = {f.name for f in fields(Rule)} - {"fault"}
    where = f"rule {number} ({given['kind']})"
    fault = _build(kind, {k: v for k, v in given.items() if k not in {"kind", *when}}, where)
    rule = _build(Rule, {**{k: v for k, v in given.items() if k in when}, "fault": fault}, where)
    if rule.nth < 1 or (rule.count is not None and rule.count < 1):
        raise BadRule(f"{where}: 'nth' and 'count' begin at 1.")
    if isinstance(fault, Status) and not 200 <= fault.status <= 599:
        raise BadRule(f"{where}: 'status' must be from 200 to 599.")
    return rule


def _build(kind: type[T], given: Mapping[Any, Any], where: str) -> T:
    """An instance of the dataclass; raises BadRule for fields missing, unknown or of another type."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name, value in given.items():
        if name not in known:
            raise BadRule(f"{where} knows no {name!r}, only {', '.join(known) or 'no fields at all'}.")
        if not _fits(value, hints[name]):
            raise BadRule(f"{where}: {name!r} cannot be {json.dumps(value, default=str)[:80]}.")
    for name, each in known.items():
        if name not in given and each.default is MISSING and each.default_factory is MISSING:
            raise BadRule(f"{where} needs {name!r}.")
    return kind(**given)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any or get_origin(hint) is Union and Any in get_args(hint):
        return True
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if get_origin(hint) is not None:  # a mapping of strings
        return isinstance(value, dict) and all(isinstance(x, str) for pair in value.items() for x in pair)
    return isinstance(value, hint)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", path.lstrip("/") if path.startswith("/") else path)
    body = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
    start = "/" if path.startswith("/") else "(?:.*/)?"
    return re.compile(start + body + "/?", re.IGNORECASE)

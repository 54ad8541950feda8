"""The smoke, from the first check to the proof that nothing is left."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from prefect.exceptions import TerminationSignal
from pydantic import BaseModel, ConfigDict

from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.core import signals
from tasks.core.lease import Lease
from tasks.recording.exchange import Check, Recording, versions
from tasks.recording.recorder import Recorder
from tasks.smoke import cleaning, serving, training
from tasks.smoke.cleaning import Gone
from tasks.smoke.plan import LEASE_HOURS, Plan
from tasks.smoke.work import Facts, Needed, Work

CHECKS: tuple[tuple[str, Callable[[Work], Facts]], ...] = (
    ("cluster", training.cluster),
    ("job", training.job),
    ("run tree", training.run_tree),
    ("logs", training.logs),
    ("metrics", training.logged_metrics),
    ("registration", training.registration),
    ("archived job", training.archived_job),
    ("endpoint", serving.opened),
    ("deployment right after tags", serving.deployed_after_tags),
    ("traffic", serving.traffic),
    ("scoring", serving.scored),
    ("leases", serving.listed),
    ("deletion", serving.deleted),
    ("the same name again", serving.made_again),
    ("deletion while updating", serving.deleted_while_updating),
)
CLEANING = "cleaning up"
_SIGNALLED = 128


class Result(BaseModel):
    """One check: passed, failed or skipped; the facts are numbers that say how Azure does it."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    seconds: float
    problem: str = ""
    details: str = ""
    facts: Facts = {}
    refusals: tuple[str, ...] = ()
    skipped: bool = False


class Smoke(BaseModel):
    """What came of a smoke; `dollars` is the most that it has cost, `signal` what has interrupted it."""

    model_config = ConfigDict(frozen=True)

    name: str
    results: tuple[Result, ...]
    gone: tuple[Gone, ...]
    dollars: float
    minutes: float
    signal: int | None = None

    @property
    def is_clean(self) -> bool:
        return not any(each.problem for each in self.gone)

    @property
    def passed(self) -> bool:
        done = [result.passed for result in self.results]
        return all(done) and len(done) == len(CHECKS) and self.is_clean

    @property
    def exit_code(self) -> int:
        """As a shell has it: 128 and the signal's number where one has ended it."""
        if self.signal is not None:
            return _SIGNALLED + self.signal
        return 0 if self.passed else 1


def smoke(
    session: Session, plan: Plan, recorder: Recorder, tell: Callable[[str, str], None]
) -> tuple[Smoke, Recording]:
    """Do all checks and delete everything, also after a signal; `tell` hears which check is at what.

    Raises nothing of what a check meets: that is its result.
    """
    lease = Lease.of_run(plan.run, LEASE_HOURS)
    recorder.own = plan.name
    recorder.hide(*_names(session, plan, lease))
    results: list[Result] = []
    ended: int | None = None
    gone: list[Gone] = []
    begun = monotonic()
    with _code(plan) as code, signals.heeded(), recorder.listening():
        work = Work(session, plan, lease, code, say=lambda detail: tell(recorder.step, detail))
        try:
            for name, check in CHECKS:
                recorder.step = name
                tell(name, "")
                results.append(_checked(name, check, work))
        except BaseException as error:
            signals.hold()
            ended = _number(error)
            if ended is None:
                raise
            tell(recorder.step, "interrupted: what costs is being deleted")
        finally:
            recorder.step = CLEANING
            tell(CLEANING, "")
            gone = cleaning.clean(work)
    hours = (monotonic() - begun) / 3600
    done = Smoke(
        name=plan.name,
        results=tuple(results),
        gone=tuple(gone),
        dollars=_dollars(plan, results, hours),
        minutes=round(hours * 60, 1),
        signal=ended,
    )
    return done, _recording(recorder, results)


@contextmanager
def _code(plan: Plan) -> Iterator[Path]:
    """What steps and deployment run, in a folder whose content no smoke before it has uploaded."""
    with TemporaryDirectory() as folder:
        code = Path(folder, "code")
        shutil.copytree(Path(__file__).with_name("uploaded"), code)
        (code / "run.txt").write_text(plan.run, encoding="utf-8")
        yield code


def _checked(name: str, check: Callable[[Work], Facts], work: Work) -> Result:
    begun = monotonic()
    work.refusals = []
    failed: dict[str, str | bool] = {}
    facts: Facts = {}
    try:
        facts = check(work)
    except Needed as needed:
        failed = {"problem": f"not tried: {needed}", "skipped": True}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's result
        failure = explain(error)
        failed = {"problem": str(failure), "details": failure.details}
    return Result.model_validate(
        {
            "name": name,
            "passed": not failed,
            "seconds": round(monotonic() - begun, 1),
            "facts": {**facts, **({"refusals": float(len(work.refusals))} if work.refusals else {})},
            "refusals": tuple(dict.fromkeys(work.refusals)),
            **failed,
        }
    )


def _number(error: BaseException) -> int | None:
    """The signal that an exception stands for; None for anything else."""
    if isinstance(error, KeyboardInterrupt):
        return int(signal.SIGINT)
    if isinstance(error, TerminationSignal):
        return int(error.signal)
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > _SIGNALLED:
        return error.code - _SIGNALLED
    return None


def _dollars(plan: Plan, results: list[Result], hours: float) -> float:
    """The most that it has cost: as if both machines had run from when they were asked for to the end."""
    reached = {result.name for result in results}
    began = {"cluster": 0.0, "deployment right after tags": 0.0}
    passed = 0.0
    for result in results:
        if result.name in began:
            began[result.name] = passed
        passed += result.seconds / 3600
    return round(sum(plan.price * (hours - at) for name, at in began.items() if name in reached), 4)


def _recording(recorder: Recorder, results: list[Result]) -> Recording:
    checks = (Check(name=each.name, passed=each.passed, facts=each.facts) for each in results)
    return Recording(
        made=datetime.now(UTC).date().isoformat(),
        by=versions(),
        checks=tuple(checks),
        exchanges=recorder.exchanges(),
    )


def _names(session: Session, plan: Plan, lease: Lease) -> Iterator[str]:
    """Everything that is somebody's own, and that this process knows."""
    yield from (session.subscription_id, session.resource_group, session.workspace, session.location)
    yield from (plan.run, plan.name, lease.owner)
    yield from (plan.identity or "").split("/")[2::2]  # each second part of a resource id is a name

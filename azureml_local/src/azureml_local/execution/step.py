"""One command, from its place in the queue to its outputs."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

from azureml_local.errors import ServiceError
from azureml_local.execution.control import Control, Interrupted, Preempted, Signal
from azureml_local.execution.environments import BUILD_LOG
from azureml_local.execution.outputs import register
from azureml_local.execution.process import LOST, Detached
from azureml_local.execution.run_properties import compute_target_status
from azureml_local.execution.runtime import Runtime
from azureml_local.execution.step_directory import StepDirectory, StepTask
from azureml_local.state.documents import ALLOCATION_ERRORS
from azureml_local.state.faults import NoCapacity, Preemption, StepFailure
from azureml_local.state.job_documents import JobError, status
from azureml_local.state.job_states import JobState

# Seconds that a state lasts at the pace `real` when nothing real decides.
PAUSES = {JobState.QUEUED: 2.0, JobState.PREPARING: 3.0, JobState.FINALIZING: 1.0}

_LOOK_AGAIN = 0.05  # seconds between looks at the process
_ERROR_LINES = 5
_ERROR_BYTES = 4096


class StepRun:
    """Runs one step and moves its job through its states.

    A step whose process a previous server started goes on where it is.
    """

    def __init__(self, runtime: Runtime, task: StepTask, control: Control) -> None:
        self._runtime = runtime
        self._state = runtime.state
        self._records = runtime.records
        self._task = task
        self._step = task.step
        self._name = task.name
        self._control = control
        self._directory = StepDirectory(runtime, task)

    def run(self) -> JobState:
        """The state in which the job ends; raises Interrupted when the server stops."""
        while True:
            try:
                self._control.check()
                self._run_once()
                return self._completed()
            except Interrupted as interrupted:
                if interrupted.signal is Signal.DETACH:
                    raise
                self._directory.kill()
                if interrupted.signal is Signal.STOP:
                    self._records.begin_again(self._name)
                    raise
                return self._end(JobState.CANCELED)
            except Preempted:
                self._directory.kill()
                self._records.begin_again(self._name)
            except ServiceError as error:
                self._directory.kill()
                return self._end(JobState.FAILED, {"code": error.code, "message": error.message})
            except OSError as error:
                message = f"The step could not be run: {error}."
                return self._end(JobState.FAILED, {"code": "SystemError", "message": message})

    def _run_once(self) -> None:
        record, process = self._records.get(self._name), self._directory.process()
        began = process is not None or record["started"] is not None
        if not began:
            self._records.move(self._name, JobState.QUEUED)
            self._pause(JobState.QUEUED)
            self._await_capacity()
        held = record["leases"] if began else ()
        count, compute = self._step.instance_count, self._step.compute
        with self._runtime.clusters.nodes(compute, count, self._name, self._control, held) as rows:
            self._records.hold(self._name, rows)
            self._note_cluster()
            fault = None
            if process is None:
                if began:
                    raise _lost()
                fault = self._state.faults.at("RUN", self._call(), StepFailure, Preemption)
                process = self._start(fault)
            self._records.move(self._name, JobState.RUNNING)
            self._await(process, fault)
        self._records.move(self._name, JobState.FINALIZING)
        self._pause(JobState.FINALIZING)
        register(self._state, self._name, self._step.outputs)

    def _await_capacity(self) -> None:
        """Stay in the queue while a fault rule says that the cluster has no nodes to give."""
        compute = self._runtime.clusters.find(self._step.compute).name
        fault = self._state.faults.at("ALLOCATE", f"/computes/{compute}", NoCapacity)
        if fault is None:
            return
        # Documented of AmlCompute: what it could not allocate stands among its errors. The words are Azure
        # Compute's for a region without free machines.
        message = (
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this region."
        )
        self._state.store.put(ALLOCATION_ERRORS, compute, {"code": "AllocationFailed", "message": message})
        try:
            self._control.pause(threading.TIMEOUT_MAX if fault.seconds is None else fault.seconds)
        finally:
            self._state.store.delete(ALLOCATION_ERRORS, compute)

    def _note_cluster(self) -> None:
        """Let a pipeline's step say what it saw of its cluster when it had its nodes; seen of those alone."""
        record = self._records.get(self._name)
        if record["parent"] is not None:
            live = self._runtime.clusters.live(self._runtime.clusters.find(self._step.compute).name)
            tags = {**record["properties"]["tags"], **compute_target_status(live)}
            self._records.show(self._name, {"tags": tags})

    def _start(self, fault: StepFailure | Preemption | None) -> Detached:
        self._records.move(self._name, JobState.PREPARING)
        self._pause(JobState.PREPARING)
        log = self._runtime.artifacts(self._name) / BUILD_LOG
        python = self._runtime.environments.python(self._step.environment, log, self._control.pause)
        return self._directory.start(fault if isinstance(fault, StepFailure) else None, python)

    def _await(self, process: Detached, fault: StepFailure | Preemption | None) -> None:
        """Wait for the process; raises ServiceError when it fails or takes too long, Preempted by a fault."""
        if isinstance(fault, Preemption):
            self._control.pause(fault.seconds)
            raise Preempted
        while (code := process.exit_code()) is None:
            self._check_timeout()
            self._runtime.clusters.check(self._step.compute)
            self._control.pause(_LOOK_AGAIN)
        process.end_rest()
        if code == LOST:
            raise _lost()
        if code != 0:
            raise ServiceError(400, "UserError", self._failure(code))

    def _call(self) -> str:
        """The step as fault rules know it."""
        root = self._records.get(self._name)["root"]
        return f"/jobs/{root}/{self._step.path}".rstrip("/")

    def _check_timeout(self) -> None:
        started = self._records.get(self._name)["started"]
        if self._step.timeout is None or started is None:
            return
        if (self._state.clock.now() - datetime.fromisoformat(started)).total_seconds() > self._step.timeout:
            raise ServiceError(
                400, "JobTimedOut", f"The job ran longer than its time-out of {self._step.timeout:g} seconds."
            )

    def _failure(self, code: int) -> str:
        program = self._step.component.command.split(maxsplit=1)[0]
        return (
            f"Execution failed. User process '{program}' exited with status code {code}. "
            f"Please check log file '{self._directory.log}' for error details. "
            f"Error: {_tail(self._directory.log_path)}"
        )

    def _pause(self, state: JobState) -> None:
        clock = self._state.clock
        takes = PAUSES[state] if self._state.settings.pace == "real" else 0.0
        self._control.pause_until(clock.timestamp() + takes, clock)
        self._control.check()

    def _completed(self) -> JobState:
        self._directory.remove()
        self._task.remove_checkpoints()
        return self._end(JobState.COMPLETED)

    def _end(self, state: JobState, error: JobError | None = None) -> JobState:
        return status(self._records.move(self._name, state, error=error))


def _lost() -> ServiceError:
    message = "The node that ran the step was lost: its process is gone and left no exit status."
    return ServiceError(500, "NodeLost", message)


def _tail(log: Path) -> str:
    """The end of a log: its last traceback where there is one, else its last lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _ERROR_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return "the step wrote nothing."
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent")]
    return "\n".join(lines[starts[-1] :] if starts else lines[-_ERROR_LINES:])

"""A sweep job: a trial for each combination of values, some ended early by a policy, and the best of them.

Names of trials, the log and the properties of the finished job are as recorded of HyperDrive, the service
that runs sweeps. What a trial's own run has was in no recording: its values stand in a tag `hyperparameters`
and one for each, which is assumed. So is that a sweep completes when one of its trials has, and that the best
is the completed one with the best value that it ever logged.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from azureml_local.execution.binding import of_command
from azureml_local.execution.control import Control, Interrupted, Signal
from azureml_local.execution.graph import Step
from azureml_local.execution.job_records import NewJob
from azureml_local.execution.outputs import output_uri
from azureml_local.execution.runtime import Runtime
from azureml_local.execution.search_space import Values
from azureml_local.execution.step import StepRun
from azureml_local.execution.step_directory import StepTask
from azureml_local.execution.sweep_job import SweepJob
from azureml_local.state.job_documents import JobError, experiment, outputs_of, run_properties, status
from azureml_local.state.job_states import JobState

logger = logging.getLogger(__name__)

LOG = "azureml-logs/hyperdrive.txt"
_LOOK_AGAIN = 0.1  # seconds between looks at what somebody wants of the sweep, and at the trials' metrics


class SweepRun:
    """Runs the trials of one sweep job, each as a child job in a thread of its own."""

    def __init__(self, runtime: Runtime, sweep: SweepJob, name: str, control: Control) -> None:
        self._runtime = runtime
        self._records = runtime.records
        self._sweep = sweep
        self._name = name
        self._control = control
        self._ends: dict[str, JobState] = {}  # the states in which trials have ended
        self._controls: dict[str, Control] = {}
        self._judged: dict[
            str, int
        ] = {}  # the interval up to which the policy has been applied to each trial
        self._late = False  # whether it was cancelled for its time-out
        self._stopped: queue.Queue[tuple[str, JobState | None]] = queue.Queue()
        self._log = runtime.artifacts(name) / LOG

    def run(self) -> JobState:
        """The state in which the job ends; raises Interrupted when the server stops."""
        self._records.move(self._name, JobState.RUNNING)
        self._run_trials()
        if self._control.signal in (Signal.DETACH, Signal.STOP):
            raise Interrupted(self._control.signal)
        if self._control.signal is Signal.CANCEL or self._late:
            return self._end(JobState.CANCELED)
        if JobState.COMPLETED not in self._ends.values():
            return self._end(JobState.FAILED, self._failure())
        self._name_the_best()
        return self._end(JobState.COMPLETED)

    def cancel(self, child: str) -> None:
        """Cancel one of the trials; nothing happens when it does not run."""
        if (control := self._controls.get(child)) is not None:
            control.send(Signal.CANCEL)

    def _run_trials(self) -> None:
        left = self._trials()
        running: set[str] = set()
        more = True
        while True:
            self._late = self._late or (bool(running) and self._is_late())
            if self._control.signal is not None or self._late:
                self._pass_on(running)
                more = False
            while more and len(running) < self._sweep.most_at_once:
                if (trial := next(left, None)) is None:
                    self._write("GENERATOR", "All jobs generated.")
                    more = False
                else:
                    running.add(trial[0])
                    self._begin(*trial)
            if not running:
                return
            try:
                name, end = self._stopped.get(timeout=_LOOK_AGAIN)
            except queue.Empty:
                self._terminate(running)
                continue
            running.discard(name)
            if end is not None:  # else the server stops, and the trial goes on
                self._ends[name] = end

    def _trials(self) -> Iterator[tuple[str, Values]]:
        seed = self._records.get(self._name)["seed"]
        for number, values in enumerate(self._sweep.values(seed)):
            yield f"{self._name}_{number}", values

    def _is_late(self) -> bool:
        """Whether the job has taken longer than it may: the service cancels it with all its trials."""
        started = self._records.get(self._name)["started"]
        if self._sweep.timeout is None or started is None:
            return False
        lasted = self._runtime.state.clock.now() - datetime.fromisoformat(started)
        return lasted.total_seconds() > self._sweep.timeout

    def _pass_on(self, running: set[str]) -> None:
        signal = Signal.CANCEL if self._control.signal is None else self._control.signal
        for name in running:
            if self._controls[name].signal is None:
                self._controls[name].send(signal)

    def _begin(self, name: str, values: Values) -> None:
        self._controls[name] = Control()
        threading.Thread(target=self._run_trial, args=[name, values], name=name, daemon=True).start()

    def _run_trial(self, name: str, values: Values) -> None:
        end: JobState | None = JobState.FAILED
        try:
            end = self._trial(name, values)
        except Interrupted:
            end = None
        except Exception as error:  # whatever it was, the sweep must hear of it
            logger.exception("trial %s", name)
            problem: JobError = {"code": "SystemError", "message": f"The trial could not be run: {error}"}
            self._records.move(name, JobState.FAILED, error=problem)
        finally:
            self._stopped.put((name, end))

    def _trial(self, name: str, values: Values) -> JobState:
        (step,) = of_command(self._sweep.trial_with(values), None).steps
        known = self._records.find(name)
        if known is not None and status(known).is_final:
            return status(known)
        if known is None:
            self._create(name, values, step)
            self._write("SCHEDULER", f"Successfully scheduled a job. Id='{name}'")
        task = StepTask(name=name, step=step, upstream={}, checkpoints=self._runtime.checkpoints(name))
        return StepRun(self._runtime, task, self._controls[name]).run()

    def _create(self, name: str, values: Values, step: Step) -> None:
        job = self._records.get(self._name)
        tags = {"hyperparameters": json.dumps(values), **{key: str(value) for key, value in values.items()}}
        self._records.create(
            NewJob(
                name=name,
                root=self._name,
                parent=self._name,
                step=name.removeprefix(f"{self._name}_"),
                nodes=step.instance_count,
                properties={
                    "status": JobState.NOT_STARTED,
                    "experimentName": experiment(job),
                    "displayName": name,
                    "jobType": "Command",
                    "computeId": self._runtime.clusters.find(step.compute).name,
                    "tags": tags,
                    "properties": {},
                    "outputs": {
                        output: {"jobOutputType": each.type, "uri": output_uri(name, output, each)}
                        for output, each in step.outputs.items()
                    },
                },
            )
        )

    def _terminate(self, running: set[str]) -> None:
        """Cancel the trials that the policy ends, by what they have logged since it was last applied."""
        policy = self._sweep.policy
        if policy is None:
            return
        names = [name for name in self._controls if self._records.find(name) is not None]
        histories = {name: values for name in names if (values := self._history(name))}
        for name in running & histories.keys():
            new = range(self._judged.get(name, 0) + 1, len(histories[name]) + 1)
            self._judged[name] = len(histories[name])
            if any(policy.applies_at(each) and policy.ends(name, each, histories) for each in new):
                self._write("CONTROLLER", f"Cancelling job by the termination policy. Id='{name}'")
                self._controls[name].send(Signal.CANCEL)

    def _history(self, name: str) -> list[float]:
        """What the trial has logged of the primary metric, in its order, greater being better."""
        asked = urlencode({"run_id": name, "metric_key": self._sweep.metric})
        path = f"/api/2.0/mlflow/metrics/get-history?{asked}"
        answer = self._runtime.tracking.forward("GET", path, b"", "")
        if answer.status != 200:
            return []
        logged: list[dict[str, Any]] = json.loads(answer.body).get("metrics", [])
        logged.sort(key=lambda each: (int(each.get("step", 0)), int(each["timestamp"])))
        values = (float(each["value"]) for each in logged)
        return [self._sweep.signed(value) for value in values if not math.isnan(value)]

    def _name_the_best(self) -> None:
        """Say on the job which trial was the best, and let its outputs be the job's."""
        completed = [name for name, end in self._ends.items() if end is JobState.COMPLETED]
        scores = {name: max(values) for name in completed if (values := self._history(name))}
        job = self._records.get(self._name)
        found = dict(run_properties(job))
        if (size := self._sweep.space.size) is not None:
            found["space_size"] = str(size)
        if not scores:
            self._records.show(self._name, {"properties": {**found, "best_metric_status": "Failed"}})
            return
        best = max(scores, key=lambda name: scores[name])
        found |= {
            "best_child_run_id": best,
            "score": str(self._sweep.signed(scores[best])),
            "best_metric_status": "Succeeded",
            "best_data_container_id": f"dcid.{best}",
        }
        written = outputs_of(self._records.get(best))
        outputs = {
            name: {**output, "uri": written[name]["uri"]} if name in written else output
            for name, output in outputs_of(job).items()
        }
        self._records.show(self._name, {"properties": found, "outputs": outputs})

    def _failure(self) -> JobError:
        errors = [self._records.get(name)["error"] for name in self._ends]
        first = next((error["message"] for error in errors if error), "no trial has run to its end.")
        return {
            "code": "UserError",
            "message": f"No trial of the sweep has completed. The first failure says: {first}",
            "details": [error or {} for error in errors],
        }

    def _end(self, state: JobState, error: JobError | None = None) -> JobState:
        self._write("CONTROLLER", f"Changing Run Status from Running to {state}")
        return status(self._records.move(self._name, state, error=error))

    def _write(self, who: str, line: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            log.write(f"[{datetime.now(UTC).isoformat()}][{who}][INFO]{line}\n")

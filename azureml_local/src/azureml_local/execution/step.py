"""One command, from its place in the queue to its outputs."""

from __future__ import annotations

import shlex
import shutil
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from azureml_local.assets import addresses
from azureml_local.errors import ServiceError
from azureml_local.execution.cluster import Cluster, Clusters
from azureml_local.execution.command import render
from azureml_local.execution.control import Control, Interrupted
from azureml_local.execution.documents import Records
from azureml_local.execution.graph import Asset, Literal, Step, StepOutput
from azureml_local.execution.node import environment
from azureml_local.execution.outputs import output_uri, register
from azureml_local.execution.process import LOST, Detached
from azureml_local.settings import ARTIFACT_DATASTORE
from azureml_local.state.faults import NoCapacity, Preemption, StepFailure
from azureml_local.state.workspace import WorkspaceState

# Seconds that a state lasts at the pace `real` when nothing real decides.
PAUSES = {"Queued": 2.0, "Preparing": 3.0, "Finalizing": 1.0}
LOG = "user_logs/std_log.txt"
_KEPT = ("outputs", "logs")  # folders that a node uploads while the command runs

_LOOK_AGAIN = 0.05  # seconds between looks at the process
_ERROR_LINES = 5
_ERROR_BYTES = 4096


class StepRun:
    """Runs one step under a job's name and moves that job through its states.

    `upstream` names, by path, the jobs of the steps that have run before. A step whose process a previous
    server started goes on where it is.
    """

    def __init__(
        self,
        state: WorkspaceState,
        records: Records,
        clusters: Clusters,
        step: Step,
        name: str,
        control: Control,
        upstream: Mapping[str, str],
        checkpoints: Path,
    ) -> None:
        self._state = state
        self._records = records
        self._clusters = clusters
        self._step = step
        self._name = name
        self._control = control
        self._upstream = upstream
        self._checkpoints = checkpoints
        self._directory = state.settings.jobs_path / name
        self._artifacts = state.blobs.datastore_path(ARTIFACT_DATASTORE, f"ExperimentRun/dcid.{name}")
        self._log = self._artifacts / LOG

    def run(self) -> str:
        """The status in which the job ends; raises Interrupted("detach") when the server stops."""
        while True:
            try:
                self._control.check()
                self._run_once()
                return self._end("Completed")
            except Interrupted as interrupted:
                if interrupted.wish == "detach":
                    raise
                self._kill()
                if interrupted.wish == "cancel":
                    return self._end("Canceled")
                self._control.clear()  # pre-empted: back to the queue
                self._records.change(self._name, started=None, leases=[])
            except ServiceError as error:
                self._kill()
                return self._end("Failed", _error(error.code, error.message))
            except OSError as error:
                return self._end("Failed", _error("SystemError", f"The step could not be run: {error}."))

    def _run_once(self) -> None:
        record, process = self._records.get(self._name), Detached.find(self._directory)
        began = process is not None or record["started"] is not None
        if not began:
            self._records.move(self._name, "Queued")
            self._pause("Queued")
            self._await_capacity()
        with self._clusters.nodes(
            self._step.compute,
            self._step.instance_count,
            self._name,
            self._control,
            record["leases"] if began else (),
        ) as rows:
            self._records.change(self._name, leases=rows)
            fault = None
            if process is None:
                if began:
                    raise _lost()
                fault = self._state.faults.at("RUN", self._call(), StepFailure, Preemption)
                process = self._start(fault)
            self._records.move(self._name, "Running")
            self._await(process, fault)
        self._records.move(self._name, "Finalizing")
        self._pause("Finalizing")
        register(self._state, self._name, self._step.outputs)

    def _await_capacity(self) -> None:
        """Stay in the queue while a fault rule says that the cluster has no nodes to give."""
        compute = self._clusters.find(self._step.compute).name
        fault = self._state.faults.at("ALLOCATE", f"/computes/{compute}", NoCapacity)
        if fault is not None:
            self._control.pause(threading.TIMEOUT_MAX if fault.seconds is None else fault.seconds)

    def _start(self, fault: StepFailure | Preemption | None) -> Detached:
        self._records.move(self._name, "Preparing")
        self._pause("Preparing")
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        code = self._code()
        self._keep_written(code)
        inputs = {name: self._input(name) for name in self._step.inputs}
        outputs = {name: self._output(name) for name in self._step.outputs}
        command = render(self._step.component.command, inputs, outputs)
        if isinstance(fault, StepFailure):
            command = f"printf '%s\\n' {shlex.quote(fault.message)} >&2; exit {fault.exit_code}"
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        variables = {
            **environment(self._state, self._records.get(self._name), self._checkpoints),
            **self._step.environment_variables,
        }
        return Detached.start(
            self._directory, ["/bin/sh", "-c", command], cwd=code, env=variables, log=self._log
        )

    def _await(self, process: Detached, fault: StepFailure | Preemption | None) -> None:
        """Wait for the process; raises ServiceError when it fails or takes too long."""
        if isinstance(fault, Preemption):
            self._control.pause(fault.seconds)
            raise Interrupted("preempt")
        while (code := process.exit_code()) is None:
            self._check_timeout()
            self._control.pause(_LOOK_AGAIN)
        if code == LOST:
            raise _lost()
        if code != 0:
            raise ServiceError(400, "UserError", self._failure(code))

    def _kill(self) -> None:
        process = Detached.find(self._directory)
        if process is not None:
            process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _code(self) -> Path:
        """The step's working directory: a private copy of its code, or an empty one."""
        directory = self._directory / "wd"
        if self._step.component.code is None:
            directory.mkdir()
            return directory
        source = addresses.resolve(self._state, self._step.component.code)
        if source.is_dir():
            shutil.copytree(source, directory)
        else:
            directory.mkdir()
            shutil.copy2(source, directory)
        return directory

    def _keep_written(self, code: Path) -> None:
        """Let `outputs` and `logs` where the command runs be folders of its artifacts, as on Azure."""
        for name in _KEPT:
            kept, shipped = self._artifacts / name, code / name
            if shipped.is_dir():  # with the code
                shutil.copytree(shipped, kept, dirs_exist_ok=True)
                shutil.rmtree(shipped)
            if not shipped.exists():
                kept.mkdir(parents=True, exist_ok=True)
                shipped.symlink_to(kept, target_is_directory=True)

    def _input(self, name: str) -> str | Path:
        value = self._step.inputs[name]
        if isinstance(value, Literal):
            return value.value
        if isinstance(value, Asset):
            return addresses.resolve(self._state, value.uri)
        assert isinstance(value, StepOutput)
        outputs = self._records.get(self._upstream[value.step])["properties"]["outputs"]
        return addresses.resolve(self._state, outputs[value.output]["uri"])

    def _output(self, name: str) -> Path:
        """Where the step writes that output; folders are there before it begins."""
        place = addresses.locate(self._state, output_uri(self._name, name, self._step.outputs[name]))
        path = self._state.blobs.datastore_path(place.datastore, place.path)
        (path.parent if self._step.outputs[name].type == "uri_file" else path).mkdir(
            parents=True, exist_ok=True
        )
        return path

    def _call(self) -> str:
        """The step as fault rules know it."""
        root = self._records.get(self._name)["root"]
        return f"/jobs/{root}/{self._step.path}".rstrip("/")

    def _check_timeout(self) -> None:
        if self._step.timeout is None:
            return
        started = datetime.fromisoformat(self._records.get(self._name)["started"])
        if (self._state.clock.now() - started).total_seconds() > self._step.timeout:
            raise ServiceError(
                400, "JobTimedOut", f"The job ran longer than its time-out of {self._step.timeout:g} seconds."
            )

    def _failure(self, code: int) -> str:
        program = self._step.component.command.split(maxsplit=1)[0]
        return (
            f"Execution failed. User process '{program}' exited with status code {code}. "
            f"Please check log file '{LOG}' for error details. Error: {_tail(self._log)}"
        )

    def _pause(self, status: str) -> None:
        self._control.pause(PAUSES[status] if self._state.settings.pace == "real" else 0.0)

    def _end(self, status: str, error: dict[str, Any] | None = None) -> str:
        if status == "Completed":
            shutil.rmtree(self._directory, ignore_errors=True)
            shutil.rmtree(self._checkpoints, ignore_errors=True)
        return str(self._records.move(self._name, status, error=error)["properties"]["status"])


def child_properties(cluster: Cluster, step: Step, root: str) -> dict[str, str]:
    """The run properties that the service writes on a pipeline's step."""
    return {
        "azureml.runsource": "azureml.StepRun",
        "azureml.nodeid": uuid4().hex[:8],
        "azureml.moduleName": step.component.name,
        "azureml.moduleVersion": step.component.version,
        "azureml.moduleid": step.component.id,
        "azureml.pipelinerunid": root,
        "azureml.pipeline": root,
        "azureml.isreused": "false",
        "StepType": "PythonScriptStep",
        "ComputeTargetType": "AmlCompute",
        "_azureml.ComputeTargetType": "amlctrain",
        "_azureml.ClusterName": cluster.name,
        "VMSize": cluster.vm_size,
        "azureml.stepPath": step.path,
    }


def _lost() -> ServiceError:
    message = "The node that ran the step was lost: its process is gone and left no exit status."
    return ServiceError(500, "NodeLost", message)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


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

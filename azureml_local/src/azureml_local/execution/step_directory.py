"""A step on its node: the directory it runs in, its code, its inputs and outputs, its process."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution import launcher
from azureml_local.execution.command import Address, render
from azureml_local.execution.component import Port
from azureml_local.execution.distribution import Distribution
from azureml_local.execution.graph import Asset, Literal, Step
from azureml_local.execution.mode import Mode
from azureml_local.execution.node import environment, named
from azureml_local.execution.outputs import output_uri
from azureml_local.execution.process import Detached
from azureml_local.execution.runtime import Runtime
from azureml_local.state.faults import StepFailure
from azureml_local.state.job_documents import outputs_of

LOG = "user_logs/std_log.txt"
_KEPT = ("outputs", "logs")  # folders that a node uploads while the command runs


@dataclass(frozen=True, kw_only=True)
class StepTask:
    """A step to run as the job `name`.

    `upstream` names, by path, the jobs of the steps that have run before; `checkpoints` is a directory that
    every run of the same step finds, until one completes.
    """

    name: str
    step: Step
    upstream: Mapping[str, str]
    checkpoints: Path

    def remove_checkpoints(self) -> None:
        """Forget what interrupted runs of the step have left for the next: it has completed."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


class StepDirectory:
    """Lays out what a step needs on its node, starts its process there and finds it again."""

    def __init__(self, runtime: Runtime, task: StepTask) -> None:
        self._runtime = runtime
        self._state = runtime.state
        self._task = task
        self._path = self._state.settings.jobs_path / task.name
        self._artifacts = runtime.artifacts(task.name)

    @property
    def log(self) -> str:
        """The log below the artifacts: of several processes that of the failed one, else the first's."""
        distribution = self._task.step.distribution
        if distribution is None:
            return LOG
        return launcher.failed_log(self._plan) or distribution.processes([0] * distribution.ports)[0].log

    @property
    def log_path(self) -> Path:
        """Where that log lies."""
        return self._artifacts / self.log

    def process(self) -> Detached | None:
        """The step's process, running or ended; None when there never was one."""
        return Detached.find(self._path)

    def start(self, failure: StepFailure | None, python: Path | None) -> Detached:
        """Lay out the directory and run the command there, or the one that `failure` has instead.

        `python` is the folder of the executables of the step's environment, where it has one of its own.

        Raises ServiceError when code, an input or a value is missing, OSError when the disk refuses.
        """
        step = self._task.step
        self._check_identity()
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True)
        code = self._code()
        self._keep_written(code)
        inputs = {name: self._input(name) for name in step.inputs}
        outputs = {name: self._output(name) for name in step.outputs}
        command = render(step.component.command, inputs, outputs)
        if failure is not None:
            command = f"printf '%s\\n' {shlex.quote(failure.message)} >&2; exit {failure.exit_code}"
        self._task.checkpoints.mkdir(parents=True, exist_ok=True)
        job = self._runtime.records.get(self._task.name)
        variables = {
            **environment(self._state, job, self._task.checkpoints, python),
            **named(inputs, outputs, data=self._data_inputs),
            **step.environment_variables,
        }
        # Microsoft's examples use `source` (r/accidents, r/iris), which only bash has.
        line = [shutil.which("bash") or "/bin/sh", "-c", command]
        log = self._artifacts / LOG
        if step.distribution is not None:
            line, log = self._distributed(line, step.distribution), self._path / "launcher.log"
        return Detached.start(self._path, line, cwd=code, env=variables, log=log)

    def kill(self) -> None:
        """End the process, if there is one, and remove the directory."""
        process = self.process()
        if process is not None:
            process.kill()
        self.remove()

    def remove(self) -> None:
        """Remove the directory; artifacts and outputs lie elsewhere."""
        shutil.rmtree(self._path, ignore_errors=True)

    @property
    def _plan(self) -> Path:
        return self._path / "processes.json"

    @property
    def _data_inputs(self) -> frozenset[str]:
        step = self._task.step
        ports = step.component.inputs
        return frozenset(
            name
            for name, value in step.inputs.items()
            if not isinstance(value, Literal) and not (name in ports and ports[name].is_primitive)
        )

    def _distributed(self, command: list[str], distribution: Distribution) -> list[str]:
        """The command line that starts the processes of a distributed step."""
        processes = distribution.processes(_free_ports(distribution.ports))
        launcher.write_plan(self._plan, command, self._artifacts, processes)
        return [sys.executable, "-m", launcher.__name__, str(self._plan)]

    def _check_identity(self) -> None:
        """Raise ServiceError where the storage takes no keys, and the cluster has no identity to come with.

        The code is what users report; the words are those of a denied output (azureml-examples issue 2994),
        and assumed for an input. That an identity has a role in the storage is taken for granted.
        """
        step, settings = self._task.step, self._state.settings
        if settings.scenario.storage == "keys" or self._runtime.clusters.find(step.compute).has_identity:
            return
        raise ServiceError(
            400,
            "UserError",
            "Error Code: ScriptExecution.StreamAccess.Authentication\n"
            "Native Error: error in streaming from input data sources\n"
            "\tStreamError(PermissionDenied(None))\n"
            "Error Message: Authentication failed when trying to access the stream. "
            "Make sure you have correct permissions set up.",
        )

    def _code(self) -> Path:
        """The step's working directory: a private copy of its code, or an empty one."""
        directory = self._path / "wd"
        if self._task.step.component.code is None:
            directory.mkdir()
            return directory
        source = addresses.resolve(self._state, self._task.step.component.code)
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
        value, port = self._task.step.inputs[name], self._task.step.component.inputs.get(name)
        if isinstance(value, Literal):
            return value.value
        if isinstance(value, Asset):
            uri = value.uri
        else:
            upstream = self._runtime.records.get(self._task.upstream[value.step])
            uri = outputs_of(upstream)[value.output]["uri"]
        if port is not None and port.is_primitive:
            return self._written_value(port, addresses.resolve(self._state, uri))
        mode = self._task.step.modes.get(name)
        if mode is Mode.DIRECT:
            return Address(addresses.direct(self._state, uri))
        path = addresses.resolve(self._state, uri)
        return self._copied(name, path) if mode is Mode.DOWNLOAD else path

    def _written_value(self, port: Port, path: Path) -> str:
        """The value that an earlier step has written to a file; raises BadRequest unless the port takes it.

        As mldesigner's components do, which write a value alone; a line's end behind it is the shell's.
        """
        value = path.read_text().rstrip("\n")
        if objection := port.objection(value):
            raise BadRequest(objection, code="ValidationError")
        return value

    def _copied(self, name: str, path: Path) -> Path:
        """A copy of the data on the node, which the step may change."""
        copy = self._path / "inputs" / name / path.name
        copy.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy2(path, copy)
        return copy

    def _output(self, name: str) -> str | Path:
        """Where the step writes that output; folders are there before it begins."""
        output = self._task.step.outputs[name]
        uri = output_uri(self._task.name, name, output)
        if output.mode is Mode.DIRECT:
            return Address(addresses.direct(self._state, uri))
        place = addresses.locate(self._state, uri)
        path = self._state.blobs.datastore_path(place.datastore, place.path)
        (path.parent if output.is_file else path).mkdir(parents=True, exist_ok=True)
        return path


def _free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody has at this moment."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]

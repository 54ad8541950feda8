"""One of the places where mini batches are scored side by side: a worker, and the next when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from azureml_local.batch.logs import Logs
from azureml_local.batch.options import Options
from azureml_local.batch.worker_process import Scored, TookTooLong, WorkerError, WorkerProcess


class RunFailed(Exception):
    """The job cannot go on; the message says why."""


class Lane:
    """Tries mini batches one by one, each as often as the deployment says; whoever makes it ends it."""

    def __init__(self, options: Options, variables: Mapping[str, str], logs: Logs, number: int) -> None:
        self._options = options
        self._variables = variables
        self._logs = logs
        self._place = divmod(number, options.workers_per_node)  # the node, and the process on it
        self._worker: WorkerProcess | None = None

    def score(self, number: int, files: Sequence[str]) -> Scored | None:
        """The result of a mini batch, None where every try has failed.

        Raises RunFailed where the script cannot begin, or has not returned in time at the last try, which is
        documented to fail the job whatever failures are tolerated.
        """
        for left in reversed(range(self._options.tries)):
            worker = self._ready()
            try:
                return worker.score(files, self._options.timeout)
            except TookTooLong as error:
                worker.end()
                self._logs.error(self._place, f"mini batch {number}", str(error))
                if not left:
                    raise RunFailed(
                        f"No progress update in {self._options.timeout:g} seconds. {error} Raise the "
                        "deployment's timeout, or lower its mini_batch_size."
                    ) from error
            except WorkerError as error:
                self._logs.error(self._place, f"mini batch {number}", str(error))
                if not left:
                    self._logs.progress(str(error))
        return None

    def end(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.end()

    def _ready(self) -> WorkerProcess:
        """A worker that can be asked; raises RunFailed where its init() fails."""
        if self._worker is not None and self._worker.lives:
            return self._worker
        self.end()
        options, log = self._options, self._logs.of_worker(*self._place)
        try:
            self._worker = WorkerProcess(options.script, options.arguments, self._variables, log)
        except WorkerError as error:
            self._logs.error(self._place, "init()", str(error))
            raise RunFailed(str(error)) from error
        return self._worker

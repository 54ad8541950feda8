"""A batch job: its mini batches are scored side by side, and their results counted and written."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from azureml_local import model_folder
from azureml_local.batch import files
from azureml_local.batch.lane import Lane, RunFailed
from azureml_local.batch.logs import Logs
from azureml_local.batch.options import Options
from azureml_local.batch.results import Results
from azureml_local.batch.worker_process import Scored


class BatchRun:
    """Scores one input."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._logs = Logs()
        self._stopped = threading.Event()  # after a failure no mini batch is begun
        self._batches: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
        self._results = Results(Path.cwd().parent / "rows")  # beside the code

    def run(self) -> None:
        """Score everything; raises RunFailed, or NoData where there is nothing to score."""
        options = self._options
        batches, nested = files.mini_batches(options.data, options.size)
        self._logs.progress(f"{len(batches)} mini batches of up to {options.size} files.")
        if nested:
            self._logs.progress(f"{nested} files in folders below the input are left out.")
        for batch in enumerate(batches):
            self._batches.put(batch)
        self._work_side_by_side(min(options.nodes * options.workers_per_node, len(batches)))
        self._logs.progress(f"{self._results.succeeded} files succeeded, {self._results.failed} failed.")
        if self._results.succeeded == 0:  # documented: how-to-troubleshoot-batch-endpoints
            raise RunFailed("No succeeded mini batch item returned from run().")
        self._deliver()

    def _deliver(self) -> None:
        """Write the file of rows; documented: one that is there stays as it is, and the job does not fail."""
        rows = self._options.rows
        if rows is not None and rows.exists():
            self._logs.progress(f"{rows.name} is in the output folder already, and is left as it is.")
        elif rows is not None:
            self._results.deliver(rows)

    def _work_side_by_side(self, count: int) -> None:
        """Score all mini batches in so many lanes; raises the first failure when all have ended."""
        variables = self._variables()
        lanes = [Lane(self._options, variables, self._logs, number) for number in range(count)]
        with ThreadPoolExecutor(count) as pool:
            working = [pool.submit(self._work, lane) for lane in lanes]
        for work in working:
            work.result()

    def _variables(self) -> Mapping[str, str]:
        """What a script finds, as documented (how-to-batch-scoring-script, -deploy-model-custom-output)."""
        options = self._options
        found = {"AZUREML_BI_OUTPUT_PATH": str(options.output)}
        if options.model is not None:
            # Beside the code, not in it: a script may look through its own folder.
            parent = Path.cwd().parent / "azureml-models" / (options.model_version or "model/1")
            found["AZUREML_MODEL_DIR"] = str(model_folder.lay_out(parent, options.model))
        return found

    def _work(self, lane: Lane) -> None:
        """Score mini batches until there are none, or the job has failed."""
        try:
            while not self._stopped.is_set():
                number, names = self._batches.get_nowait()
                self._count(number, names, lane.score(number, names))
        except queue.Empty:
            return
        except BaseException:
            self._stopped.set()
            raise
        finally:
            lane.end()

    def _count(self, number: int, names: Sequence[str], result: Scored | None) -> None:
        """Take the result; raises RunFailed where more files have failed than may."""
        failed = self._results.add(number, len(names), result)
        listed = ", ".join(os.path.basename(name) for name in names)
        said = f", {failed} failed of {listed}" if failed else ""
        self._logs.progress(f"mini batch {number}: {len(names)} files{said}")
        tolerated, so_far = self._options.tolerated, self._results.failed
        if 0 <= tolerated < so_far:
            raise RunFailed(f"The error threshold is reached: {so_far} files failed, and {tolerated} may.")

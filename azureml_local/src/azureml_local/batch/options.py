"""How a batch job is to score, as its command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes in files, times in seconds; `rows` is the file that results are appended to, None for no file.

    `tries` is at least 1, `tolerated` failed files do not end the job (-1: any number), `arguments` are those
    that the scoring script sees.
    """

    data: Path
    output: Path
    rows: Path | None
    script: Path
    model: Path | None
    model_version: str | None
    size: int
    tolerated: int
    tries: int
    timeout: float
    workers_per_node: int
    nodes: int
    arguments: tuple[str, ...]


def read(given: Sequence[str], default_script: Path) -> Options:
    """The options of a command line; a model without a script is scored by the default one."""
    parser = argparse.ArgumentParser(prog="python -m azureml_local.batch")
    parser.add_argument("--input", type=Path, required=True, help="a file, or a folder of files")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--score", type=Path, help="the folder of the results")
    where.add_argument("--score-file", type=Path, help="the file of the results, instead of a folder")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--model-version", metavar="NAME/VERSION")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--summary-only", action="store_true", help="the script writes its results itself")
    parser.add_argument("--mini_batch_size", type=int, default=10)
    parser.add_argument("--error_threshold", type=int, default=-1)
    parser.add_argument("--run_max_try", type=int, default=3)
    parser.add_argument("--run_invocation_timeout", type=float, default=30.0)
    parser.add_argument("--logging_level", default="INFO")
    parser.add_argument("--process_count_per_node", type=int, default=1)
    parser.add_argument("--NodeCount", type=int, default=1)
    parser.add_argument("--append_row_file_name", default="predictions.csv")
    asked = parser.parse_args(given)
    output = asked.score_file.parent if asked.score is None else asked.score
    rows = asked.score_file or output / asked.append_row_file_name
    return Options(
        data=asked.input,
        output=output,
        rows=None if asked.summary_only else rows,
        script=default_script if asked.script is None else asked.script,
        model=asked.model,
        model_version=asked.model_version,
        size=asked.mini_batch_size,
        tolerated=asked.error_threshold,
        tries=max(1, asked.run_max_try),
        timeout=asked.run_invocation_timeout,
        workers_per_node=asked.process_count_per_node,
        nodes=asked.NodeCount,
        # Documented: a script reads the level from its arguments (how-to-troubleshoot-batch-endpoints).
        arguments=("--logging_level", asked.logging_level),
    )

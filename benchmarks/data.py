"""The data stage beside `datasets`, on a parquet set shaped like ultrachat_200k.

    uv run python -m benchmarks.data [--scale 1.0] [--rounds 5] [--whole]

Each way runs in a process of its own, in turn, several rounds; the figures are medians. Bytes are counted by
the loopback server for HTTP, by the kernel (/proc/self/io) for files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.spread import spread
from tests.support.range_server import serving

TRAIN_ROWS, TEST_ROWS, GROUP = 207_865, 23_110, 1_000  # the hub's listing; group size assumed
SHARDS = 3
ROUNDS = 5
SHARE = "5%"

# What is imported before the mark is not timed, for either.
_OURS = """
import polars, pyarrow.parquet, fsspec.implementations.http
from tasks.data import output, parquet, row_filter
from tasks.data.prepare import prepare
from tasks.data.section import Data
# mark
found = prepare(Data(dataset=f"{source}/*.parquet", directory=folder,
                     train={"name": "train_sft", "take": share}, test={"name": "test_sft", "take": share}))
rows = found.train.rows + found.test.rows
"""
_DATASETS = """
import datasets
# mark
datasets.disable_progress_bars()
files = {split: [f"{source}/{name}" for name in names.split() if name.startswith(split)]
         for split in ("train_sft", "test_sft")}
rows = 0
for split in files:
    found = datasets.load_dataset("parquet", data_files=files, split=f"{split}[:{share}]", cache_dir=folder)
    found.to_json(f"{folder}/{split}.jsonl")
    rows += found.num_rows
"""
_MEASURED = """
import json, os, resource, sys, time
source, folder, share, names = sys.argv[1:]
def read():
    return int(dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())["rchar"])
{code}
cpu = time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"rows": rows, "seconds": time.perf_counter() - began, "cpu": cpu, "peak_mb": peak,
                  "read_mb": (read() - before) / 1e6}}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the real number of rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--whole", action="store_true", help="convert 100 %% instead, for the peak memory")
    options = parser.parse_args()
    folder = generate(options.scale)
    print(f"{sum(f.stat().st_size for f in folder.iterdir()) / 1e6:,.0f} MB of parquet in {folder}\n")
    if options.whole:
        run = measure(_OURS, str(folder), folder, "100%")
        print(f"100 %: {run['rows']:,.0f} rows in {run['seconds']:.1f} s, peak {run['peak_mb']:,.0f} MB")
        return
    report(compare(folder, options.rounds), needed_bytes(folder))


def compare(folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Every way in turn, so that what else the machine does falls on all of them alike."""
    with serving(folder) as server:
        ways = {
            f"datasets [:{SHARE}] + to_json, files": (_DATASETS, str(folder)),
            "data stage, files": (_OURS, str(folder)),
            f"datasets [:{SHARE}] + to_json, HTTP": (_DATASETS, server.url),
            "data stage, HTTP ranges": (_OURS, server.url),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (code, source) in ways.items():
                server.bytes = 0
                run = measure(code, source, folder, SHARE)
                runs[name].append(run | ({"read_mb": server.bytes / 1e6} if "HTTP" in name else {}))
    return runs


def generate(scale: float) -> Path:
    """The set, made once per scale: text of random words, so that it compresses as text does."""
    import platformdirs
    import pyarrow
    import pyarrow.parquet

    folder = Path(platformdirs.user_cache_dir("azureml-finetune")) / "benchmark" / f"ultrachat-{scale:g}"
    if folder.exists():
        return folder
    draft = Path(tempfile.mkdtemp(dir=_made(folder.parent)))
    text = _text()
    for split, rows, shards in (("train_sft", TRAIN_ROWS, SHARDS), ("test_sft", TEST_ROWS, 1)):
        rows = max(GROUP, int(rows * scale))
        for shard in range(shards):
            path = draft / f"{split}-{shard:05}-of-{shards:05}.parquet"
            first, last = rows * shard // shards, rows * (shard + 1) // shards
            with pyarrow.parquet.ParquetWriter(path, _schema()) as writer:
                for start in range(first, last, GROUP):
                    group = [_row(text, split, row) for row in range(start, min(start + GROUP, last))]
                    writer.write_table(pyarrow.Table.from_pylist(group, _schema()), row_group_size=GROUP)
    draft.rename(folder)
    return folder


def needed_bytes(folder: Path) -> int:
    """What the row groups of the wanted rows hold, footers not counted."""
    import pyarrow.parquet

    needed = 0
    for split in ("train_sft", "test_sft"):
        files = [pyarrow.parquet.read_metadata(path) for path in sorted(folder.glob(f"{split}-*"))]
        wanted = round(sum(file.num_rows for file in files) * float(SHARE[:-1]) / 100)
        for file in files:
            for group in range(file.num_row_groups):
                if wanted <= 0:
                    break
                columns = [file.row_group(group).column(i) for i in range(file.row_group(group).num_columns)]
                needed += sum(column.total_compressed_size for column in columns)
                wanted -= file.row_group(group).num_rows
    return needed


def measure(code: str, source: str, files: Path, share: str) -> dict[str, float]:
    """Run one way in a process of its own, with an empty output folder."""
    folder = tempfile.mkdtemp(prefix="finetune-benchmark-")
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _MEASURED.format(
                    code=code.replace(
                        "# mark", "began, cpu, before = time.perf_counter(), time.process_time(), read()"
                    )
                ),
                source,
                folder,
                share,
                " ".join(path.name for path in files.iterdir()),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        shutil.rmtree(folder)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(runs: dict[str, list[dict[str, float]]], needed: int) -> None:
    """A table of medians; ratios are of `datasets` to the data stage from the same place, round by round."""
    print("| way | rows | wall, s | times | processor, s | times | peak MB | read, of needed |")
    print("| --- " + "| ---: " * 7 + "|")
    for name, found in runs.items():
        if name.startswith("datasets"):
            first = found
        of = {key: [run[key] for run in found] for key in found[0]}
        faster, lighter = (
            [a[key] / b[key] for a, b in zip(first, found, strict=True)] for key in ("seconds", "cpu")
        )
        cells = [name, f"{of['rows'][0]:,.0f}", spread(of["seconds"]), spread(faster), spread(of["cpu"])]
        cells += [spread(lighter), f"{max(of['peak_mb']):.0f}"]
        cells += [f"{statistics.median(of['read_mb']) * 1e6 / needed:.2f} ×"]
        print(f"| {' | '.join(cells)} |")


def _schema() -> Any:
    import pyarrow

    message = pyarrow.struct([("content", pyarrow.string()), ("role", pyarrow.string())])
    return pyarrow.schema(
        [("prompt", pyarrow.string()), ("prompt_id", pyarrow.string()), ("messages", pyarrow.list_(message))]
    )


def _row(text: str, split: str, row: int) -> dict[str, Any]:
    """A conversation of six messages of the hub's mean length; no two are the same."""
    import random

    draw = random.Random(f"{split}/{row}")
    lengths = [draw.randint(60, 400), draw.randint(900, 2100)] * 3
    starts = [draw.randrange(len(text) - length) for length in lengths]
    said = [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    roles = ("user", "assistant") * 3
    messages = [{"content": content, "role": role} for content, role in zip(said, roles, strict=True)]
    return {"prompt": f"{said[0]} {row}", "prompt_id": f"{draw.getrandbits(256):064x}", "messages": messages}


def _text(words: int = 2_000_000) -> str:
    """Megabytes of words of which few are frequent, as in language."""
    import random

    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 10))) for _ in range(20_000)]
    frequency = [1 / (rank + 3) for rank in range(len(vocabulary))]
    return " ".join(draw.choices(vocabulary, frequency, k=words))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()

"""A stranger's project of twenty tests against the local workspace, beside one for S3 against moto.

    python -m benchmarks.suites [--folder DIR]

The first is examples/suite, in this environment. The second is in this file, in an environment of its own
below DIR with moto from PyPI; moto answers within the process of the tests, without a server. Both are run in
turn, the table shows medians: seconds from pytest's start to its end, and of the processor, servers included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

ROUNDS = 3
SUITE = Path(__file__).parents[1] / "examples" / "suite"
# As the other project: what is made is there, comes back as it went, is gone in the next test; and refusals.
S3_TESTS = """
import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws


@pytest.fixture
def s3(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="numbers")
        yield client


@pytest.mark.parametrize("number", range(8))
def test_an_object_comes_back_as_it_went(s3, number):
    s3.put_object(Bucket="numbers", Key=f"{number}", Body=b"1" * number)
    assert s3.get_object(Bucket="numbers", Key=f"{number}")["Body"].read() == b"1" * number


@pytest.mark.parametrize("number", range(6))
def test_nothing_is_left_of_another_test(s3, number):
    assert s3.list_objects_v2(Bucket="numbers")["KeyCount"] == 0
    s3.put_object(Bucket="numbers", Key="left", Body=b"1")


@pytest.mark.parametrize("number", range(6))
def test_what_is_not_there_is_refused(s3, number):
    with pytest.raises(ClientError):
        s3.get_object(Bucket="numbers", Key=f"{number}")
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where moto is installed, and stays")
    folder: Path | None = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        python = moto((folder or Path(temporary)) / "moto-suite")
        ours, theirs = Path(temporary) / "ours", Path(temporary) / "theirs"
        shutil.copytree(SUITE, ours)
        theirs.mkdir()
        (theirs / "test_s3.py").write_text(S3_TESTS, encoding="utf-8")
        projects = {"azureml-local": (sys.executable, ours), "moto, S3": (str(python), theirs)}
        print("| twenty tests | s | s of the processor |\n| --- | ---: | ---: |")
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in projects}
        for _ in range(ROUNDS):
            for name, (interpreter, project) in projects.items():
                times[name].append(run(interpreter, project))
    for name, found in times.items():
        print(f"| {name} | {median(t for t, _ in found):.1f} | {median(c for _, c in found):.1f} |")


def moto(folder: Path) -> Path:
    """The interpreter of an environment with moto and pytest."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", folder], check=True)
        packages = ["moto[s3]", "pytest"]
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
    return python


def run(interpreter: str, project: Path) -> tuple[float, float]:
    """How long the project's tests take, and what all of their processes have used of the processor."""
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    begun = time.monotonic()
    process = psutil.Popen(
        [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    used: dict[int, float] = {}
    while process.poll() is None:
        for each in [process, *process.children(recursive=True)]:
            try:
                spent = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used[each.pid] = spent.user + spent.system
        time.sleep(0.02)
    lasted = time.monotonic() - begun
    said = process.stdout.read() if process.stdout else ""
    if "20 passed" not in said:
        raise SystemExit(said)
    return lasted, sum(used.values())


if __name__ == "__main__":
    main()

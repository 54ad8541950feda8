"""What the README says first is run as it stands: the whole flow, twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs.documents import named
from tests.support.checkout import ROOT
from tests.support.prefect_server import migrated

# Enough to learn from; all of the recipe's rows and answers take minutes of a processor, twice.
FEWER = (
    "--set=data.train.take=12 --set=data.test.take=2 --set=parameters.training.max_seq_length=96"
    " --set=invoke.max_new_tokens=12 --set=evaluation.prompts=1 --set=evaluation.max_new_tokens=12"
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_are_one_line_each() -> None:
    for name in ("run", "test"):
        assert "\n" not in named(name).text


def test_ci_finds_the_command_that_it_reads_from_the_readme() -> None:
    """`.ci/run` looks for it with sed, which knows nothing of Markdown."""
    found = re.search(r"<!-- command: test -->\n```sh\n(.*)\n```\n", README)
    assert found is not None
    assert found[1] == named("test").text


@pytest.mark.slow
def test_the_main_job(tmp_path: Path) -> None:
    """The real run on the bundled sample, twice: the second finds what the first has made."""
    migrated(tmp_path / ".prefect")  # tests/flows/operations/test_show.py has a database that is new
    first, said = run_as_written(named("run").text, tmp_path)
    shows_the_plan_and_every_stage(first, said)
    assert first["outcome"] == "completed"
    assert first["recipe"] == "local"
    assert first["eval_loss"] < first["base_loss"] - 0.2
    assert first["answer"] not in ("", first["base_answer"])
    assert first["prompt"]
    assert first["ground_truth"]
    assert first["model_version"] == "1"
    assert first["deletion"]["state"] == "deleted"
    assert {"data", "train", "deploy", "invoke", "delete"} <= set(first["seconds_by_stage"])
    assert first["reused"] == []

    second, _ = run_as_written(named("run").text, tmp_path)
    assert second["job"] == first["job"]
    assert second["training_usd"] == 0
    assert {"kind": "job", "name": first["job"], "run": first["run"]} in second["reused"]
    assert "train" not in second["seconds_by_stage"]
    assert {"kind": "answers", "name": "SmolLM2-135M-Instruct:1", "run": first["run"]} in second["reused"]
    assert second["base_answer"] == first["base_answer"]


def run_as_written(line: str, home: Path) -> tuple[dict[str, Any], list[str]]:
    """The report of the README's line, which is all of stdout, and what it says on stderr.

    It is run by somebody who has no workspace in their home directory.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "HOME": str(home),
        "UV_NO_SYNC": "1",  # the packages are here already
    }
    done = subprocess.run(
        ["bash", "-c", f"{line} {FEWER} --json"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report, done.stderr.splitlines()


def shows_the_plan_and_every_stage(report: dict[str, Any], said: list[str]) -> None:
    """One line of each that begins and of each that has ended, without colours where nobody sees them."""
    begins = next(number for number, line in enumerate(said) if line.startswith("● "))
    plan, live = said[:begins], said[begins:]
    assert [line for line in said if "\x1b" in line] == []
    assert [line for line in plan if line.startswith("local: SmolLM2-135M-Instruct:1 on sample")] != []
    assert "Cost" in plan
    assert [line for line in live if line.strip() and not line.startswith(("local: ", "● ", "✓ "))] == []
    ended = "\n".join(line for line in live if line.startswith("✓ "))
    assert [stage for stage in report["seconds_by_stage"] if f"✓ {stage}" not in ended] == []

"""The commands as a person types them: faults, pace and the ledger, and what is said of mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from azureml_local import switch
from tests.support.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "azureml_local"]
RULES = """
- path: /metadata/endpoints
  kind: status
  status: 429
  headers: {Retry-After: "7"}
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def refusal(*arguments: object) -> str:
    """The one line that a command says which cannot be done."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
def test_up_takes_its_faults_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(RULES)
    command = [*COMMAND, "up", "--state", str(tmp_path / "state"), "--faults", str(tmp_path / "faults.yaml")]
    with subprocess.Popen([*command, "--pace", "real"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "pace real" in process.stdout.readline()
        variables = switch.environment(tmp_path / "state")
        answers = [
            requests.get(
                variables["ARM_CLOUD_METADATA_URL"], verify=variables["REQUESTS_CA_BUNDLE"], timeout=PATIENCE
            )
            for _ in range(2)
        ]
        process.terminate()
    assert [answer.status_code for answer in answers] == [429, 200]
    assert answers[0].headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("- path: [", "is not valid YAML"),
        ("- path: x\n  kind: flood", "rule 1 has the kind 'flood'; it must be one of status, delay"),
    ],
)
def test_a_faults_file_that_is_none_is_refused_in_a_line(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "faults.yaml"
    if content is not None:
        file.write_text(content)
    line = refusal("up", "--state", tmp_path / "state", "--faults", file)
    assert line.startswith(f"azureml-local: {file}")
    assert message in line


def test_a_pace_that_is_none_is_refused() -> None:
    done = run("up", "--pace", "brisk")
    assert done.returncode == 2
    assert "choose instant, real or manual" in done.stderr


@pytest.mark.slow
def test_the_ledger_is_reported_while_the_server_runs_and_after(tmp_path: Path) -> None:
    assert refusal("ledger", "--state", tmp_path) == f"azureml-local: There is no workspace in {tmp_path}."
    with switch.joined(tmp_path):
        running = run("ledger", "--state", tmp_path, "--json")
        assert json.loads(running.stdout) == {"rows": [], "seconds": 0, "dollars": 0, "running": 0, "idle": 0}
    assert run("ledger", "--state", tmp_path).stdout == "0.0000 $ in total, 0 running, 0 idle\n"


@pytest.mark.slow
def test_the_page_of_a_workspace_that_was_left_opens_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert "no workspace" in refusal("page", "--state", state)
    with switch.joined(state) as environment:  # as a run does
        address = environment["AZUREML_LOCAL_URL"]
    assert "leave out --no-wait" in refusal("page", "--state", state, "--no-wait")
    command = [*COMMAND, "page", "a-job", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        link = process.stdout.readline().strip()
        assert link.startswith(f"{address}/jobs/a-job?secret=")  # where the run's own links lead
        shown = requests.get(link, verify=str(state / "tls" / "bundle.pem"), timeout=PATIENCE)
        assert shown.status_code == 404  # signed in, and there is no such job
        assert run("page", "a-job", "--state", state, "--no-wait").stdout.strip() == link
        process.terminate()
    assert process.returncode == 0

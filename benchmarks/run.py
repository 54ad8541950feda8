"""The whole job, by a serial script and by the flow: processor seconds and the clock's, imports included.

    uv run --extra local python -m benchmarks.run [--rounds N]

The script is examples/tutorial/script.py, which somebody writes who knows Azure ML and no Prefect; both train
the component of that folder, which takes a second, in one local workspace that is up all the time and counted
for neither. The flow validates data, watches leases and costs, and reports besides. Its ways: on a Prefect
server that runs; the same again, which finds its job and model; and with a temporary server of its own. A
server that runs is not counted either.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from azureml_local import switch
from benchmarks.spread import spread
from flows.operations import stand

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "examples" / "tutorial"
MODEL, SIZE = "SmolLM2-135M-Instruct", "Standard_NC4as_T4_v3"
RECIPE = """
workspace: {{where: local}}
base: {{name: {model}}}
compute: {{name: flow-cluster, size: {size}}}
data:
  dataset: sample
  train: {{name: train_sft, take: 24}}
  test: {{name: test_sft, take: 6}}
  directory: {data}
parameters:
  training: {{num_train_epochs: 1, max_steps: 2}}
pipeline: {{component: quick_chat_pipeline}}
wait: {{poll_seconds: 1}}
deploy:
  instance_type: {size}
  liveness: {{initial_delay: 1, period: 1, timeout: 60, failure_threshold: 600}}
  readiness: {{initial_delay: 1, period: 1, timeout: 60, failure_threshold: 600}}
invoke: {{max_new_tokens: 8}}
evaluation: {{prompts: 0}}
"""
SCRIPT = "tutorial's serial script"
SERVER, AGAIN, OWN = "flow, a Prefect server runs", "the same again", "flow, its own temporary server"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, _prepared(Path(scratch)) as (local, served):
        commands = _commands(Path(scratch))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(1 + options.rounds):  # the first compiles, and migrates databases
            for name, command in commands.items():
                environment = served if name in (SERVER, AGAIN) else local
                found[name].append(_measured(command, Path(scratch), environment))
                # Not lost with what comes after it.
                print(name, *(f"{each:.2f}" for each in found[name][-1]), sep="\t", file=sys.stderr)
    _print({name: measured[1:] for name, measured in found.items()})


def _commands(scratch: Path) -> Mapping[str, list[str]]:
    recipe = scratch / "tiny.yaml"
    recipe.write_text(RECIPE.format(model=MODEL, size=SIZE, data=scratch / "data"))
    flow = [sys.executable, "-m", "flows.terminal.cli", "run", str(recipe)]
    script = [sys.executable, "-W", "ignore", str(TUTORIAL / "script.py"), "quick_chat_pipeline", MODEL]
    return {SCRIPT: script, SERVER: [*flow, "--fresh"], AGAIN: flow, OWN: [*flow, "--fresh"]}


@contextmanager
def _prepared(scratch: Path) -> Iterator[tuple[Mapping[str, str], Mapping[str, str]]]:
    """A workspace with the tutorial's component, and a Prefect server: environments without and with it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    state = scratch / "state"
    with switch.joined(state) as variables, stand.serving(scratch / "prefect") as server:
        local = inherited | variables | {"PREFECT_HOME": str(scratch / "own"), "PYTHONPATH": str(ROOT)}
        config = {
            "subscription_id": variables["AZURE_SUBSCRIPTION_ID"],
            "resource_group": variables["AZURE_RESOURCE_GROUP"],
            "workspace_name": variables["AZUREML_WORKSPACE_NAME"],
        }
        (scratch / "config.json").write_text(json.dumps(config))
        register = [str(TUTORIAL / "register.py"), str(TUTORIAL / "pipeline.yaml")]
        _measured([sys.executable, "-W", "ignore", *register], scratch, local)
        yield local, {**local, **server.environment, **variables}


def _measured(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of the processor, of the command and of what it has waited for, and of the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), monotonic()
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    took, after = monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-4000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def _print(found: Mapping[str, list[tuple[float, float]]]) -> None:
    print("| way | processor, s | of the script's | clock, s | of the script's |")
    print("| --- " + "| ---: " * 4 + "|")
    for name, measured in found.items():
        cells = [name]
        for which in (0, 1):
            values = [each[which] for each in measured]
            of_script = [each[which] for each in found[SCRIPT]]
            ratios = [a / b for a, b in zip(values, of_script, strict=True)]
            cells += [spread(values), spread(ratios, 2)]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

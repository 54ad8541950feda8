"""The command line: run the local workspace, and run code against it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote

import typer

from azureml_local import server, switch
from azureml_local.server import Address, CannotServe
from azureml_local.settings import Build, Pace, Scenario, Settings, Storage
from azureml_local.state.damage import DamagedState
from azureml_local.state.faults import BadRule, Rule, read
from azureml_local.state.schema import NewerState

app = typer.Typer(
    name="azureml-local",
    help="A local Azure Machine Learning workspace that the unmodified Azure SDKs talk to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

State = Annotated[
    Path | None,
    typer.Option(help="State directory; default: $AZUREML_LOCAL_STATE, or a user data directory."),
]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port on loopback; 0: the last one used, or a free one.")
]
PaceOption = Annotated[
    str,
    typer.Option(
        "--pace",
        help="How long operations take: instant, real (seconds, as on Azure) or manual (until stepped).",
    ),
]
Permissions = Annotated[
    str,
    typer.Option(
        metavar="owner|least-privilege|FILE",
        help="What the signed-in identity may do; FILE: roles as for `az role definition create`.",
    ),
]
Seed = Annotated[
    str | None,
    typer.Option(
        metavar="shared|FILE",
        help="Put other people's jobs, endpoints and compute instances in; FILE: YAML.",
    ),
]
StorageOption = Annotated[
    str,
    typer.Option("--storage", help="How the storage account is opened: keys, or identity (tokens only)."),
]
EnvironmentsOption = Annotated[
    str,
    typer.Option(
        "--environments",
        help="What jobs run in: node (this Python) or uv (what their conda files ask for, built by uv).",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="The registry as it was on that day, such as 2026-05-01."),
]
External = Annotated[
    str,
    typer.Option(
        metavar="none|fetch|FILE",
        help="Data of public addresses (https, wasbs, abfss); FILE: YAML rules with `from` and `to`.",
    ),
]
NodePython = Annotated[
    Path | None,
    typer.Option(
        "--node-python",
        metavar="PYTHON",
        help="The Python of jobs and scoring scripts, such as .venv/bin/python; default: this one.",
    ),
]
Durable = Annotated[
    bool, typer.Option("--durable", help="Answer when it is on the disk: documents, blobs, MLflow's runs.")
]


_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Run the command line; every foreseeable failure is one line and exit code 2."""
    try:
        app()
    except (CannotServe, DamagedState, NewerState) as error:
        typer.echo(f"azureml-local: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.command()
def up(
    state: State = None,
    port: Port = 0,
    pace: PaceOption = "instant",
    permissions: Permissions = "owner",
    seed: Seed = None,
    storage: StorageOption = "keys",
    as_of: AsOf = None,
    environments: EnvironmentsOption = "node",
    external: External = "none",
    durable: Durable = False,
    node_python: NodePython = None,
    faults: Annotated[Path | None, typer.Option(help="YAML file with fault-injection rules.")] = None,
    while_held: Annotated[bool, typer.Option("--while-held", hidden=True)] = False,
) -> None:
    """Run the workspace in the foreground until Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    day, built, found = _day(as_of), _build(environments), _rules_path(external)
    python = _program(node_python)
    scenario = Scenario(permissions, seed, _storage(storage), day, built, found, durable, python)
    settings = Settings(state=_directory(state), port=port, pace=_pace(pace), scenario=scenario)
    server.serve(
        settings,
        while_held=while_held,
        faults=_rules(faults),
        ready=_say_nothing if while_held else _say_ready,
    )


@app.command()
def page(
    job: Annotated[str, typer.Argument(help="The name of a job to open.")] = "",
    state: State = None,
    wait: Annotated[bool, typer.Option(help="Stay, and keep the workspace up, until Ctrl-C.")] = True,
) -> None:
    """Print the link to the page of a workspace, also one that a run has started or left, and keep it up."""
    directory = _directory(state)
    if not (directory / "workspace.sqlite").exists():
        raise CannotServe(f"There is no workspace in {directory}.")
    if not wait and Address.read(directory) is None:
        raise CannotServe(f"No server is running for {directory}: leave out --no-wait, and one is started.")
    if not wait:
        typer.echo(_link(directory, job))
        return
    with switch.joined(directory):
        # Held back from here on: the server that may just have been started must hear its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        typer.echo(f"{_link(directory, job)}\nThe workspace stays up until Ctrl-C.")
        signal.sigwait(_ENDING)


@app.command()
def env(state: State = None) -> None:
    """Print the exports that point a shell at the running workspace: eval "$(azureml-local env)"."""
    for name, value in switch.environment(_directory(state)).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command to run.")],
    state: State = None,
    port: Port = 0,
    pace: PaceOption = "instant",
    permissions: Permissions = "owner",
    seed: Seed = None,
    storage: StorageOption = "keys",
    as_of: AsOf = None,
    environments: EnvironmentsOption = "node",
    external: External = "none",
    durable: Durable = False,
    node_python: NodePython = None,
) -> None:
    """Run a command against the workspace, starting one if needed; exits with the command's code."""
    day, built, found = _day(as_of), _build(environments), _rules_path(external)
    python = _program(node_python)
    scenario = Scenario(permissions, seed, _storage(storage), day, built, found, durable, python)
    with switch.joined(_directory(state), pace=_pace(pace), port=port, scenario=scenario) as environment:
        code = _run(command, {**os.environ, **environment})
    raise typer.Exit(code)


@app.command()
def config() -> None:
    """Print a config.json for MLClient.from_config."""
    settings = Settings(state=Path(), port=0)
    names = {
        "subscription_id": settings.subscription_id,
        "resource_group": settings.resource_group,
        "workspace_name": settings.workspace,
    }
    typer.echo(json.dumps(names, indent=2))


@app.command()
def ledger(
    state: State = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print which cluster nodes and deployments ran, for how long, and at what price."""
    report = _ledger(_directory(state))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    for row in report["rows"]:
        typer.echo(
            f"{row['kind']:<10} {row['name']:<32} {row['vmSize']:<28} {row['seconds']:>10.1f} s "
            f"{row['dollars']:>10.4f} $  {_state(row):<8} {row['owner']}"
        )
    typer.echo(f"{report['dollars']:.4f} $ in total, {report['running']} running, {report['idle']} idle")


@app.command("az", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def stand_in(context: typer.Context) -> None:
    """What AzureCliCredential asks of Azure's command line: `account get-access-token`, and nothing else."""
    asked = context.args
    if asked[:2] != ["account", "get-access-token"]:
        raise CannotServe(
            "`az` is a stand-in within the workspace's environment: it gives AzureCliCredential its tokens, "
            "and does nothing else. Use the SDK, or leave the environment."
        )
    named = dict(zip(asked[2:], asked[3:], strict=False))
    scope = named.get("--resource") or named.get("--scope", "").removesuffix("/.default")
    token = switch.token(_directory(None), scope or "https://management.azure.com")
    typer.echo(json.dumps(token))


def _state(row: dict[str, Any]) -> str:
    return "running" if row["running"] else "idle" if row["idle"] else "stopped"


def _directory(state: Path | None) -> Path:
    return (state or switch.default_state()).absolute()


def _pace(text: str) -> Pace:
    if text not in ("instant", "real", "manual"):
        raise typer.BadParameter("choose instant, real or manual", param_hint="--pace")
    return cast(Pace, text)


def _storage(text: str) -> Storage:
    if text not in ("keys", "identity"):
        raise typer.BadParameter("choose keys or identity", param_hint="--storage")
    return cast(Storage, text)


def _build(text: str) -> Build:
    if text not in ("node", "uv"):
        raise typer.BadParameter("choose node or uv", param_hint="--environments")
    return cast(Build, text)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a day is written like 2026-05-01", param_hint="--as-of") from None


def _rules_path(which: str) -> str:
    """A file's whole path: the server may be started from another directory."""
    return which if which in ("none", "fetch") else str(Path(which).absolute())


def _program(path: Path | None) -> Path | None:
    """Its whole path; not where a link leads, as a virtual environment's Python is one."""
    return None if path is None else path.expanduser().absolute()


def _rules(path: Path | None) -> list[Rule]:
    try:
        return [] if path is None else read(path)
    except BadRule as error:
        raise CannotServe(str(error)) from None


def _say_ready(settings: Settings) -> None:
    from azureml_local.state.tokens import Secrets  # by now imported by the server, and slow

    state = shlex.quote(str(settings.state))
    typer.echo(
        f"Local Azure ML workspace: {settings.base_url} (state in {settings.state}, pace {settings.pace})\n"
        f'In another shell: eval "$(azureml-local env --state {state})"\n'
        f"The page: {settings.base_url}/?secret={Secrets.of(settings.secrets_path).admin}"
    )


def _link(state: Path, job: str) -> str:
    """The address of the page, or of a job on it, with the secret that signs in."""
    from azureml_local.state.tokens import Secrets

    address = Address.read(state)
    if address is None:
        raise CannotServe(f"No server is running for {state}.")
    settings = Settings(state=state, port=0)
    secret = Secrets.of(settings.secrets_path).admin
    return f"{address.url}/{f'jobs/{quote(job)}' if job else ''}?secret={secret}"


def _say_nothing(settings: Settings) -> None:
    """To one who joins: what it would say ends in a log, where the secret must not be."""


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The command's exit code; signals sent to us are passed on, so that it ends and we clean up after it."""
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        typer.echo(f"azureml-local: Cannot run {command[0]}: {error.strerror}.", err=True)
        return 127
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: process.send_signal(received))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command as well
    code = process.wait()
    return code if code >= 0 else 128 - code


def _ledger(state: Path) -> dict[str, Any]:
    address = Address.read(state)
    if address is not None:
        return switch.ask(state, address, "/admin/ledger")
    if not (state / "workspace.sqlite").exists():
        raise CannotServe(f"There is no workspace in {state}.")
    from azureml_local.state.clock import Clock
    from azureml_local.state.ledger import Ledger
    from azureml_local.state.store import Store

    store = Store(state / "workspace.sqlite")
    try:
        return Ledger(store, Clock()).report()
    finally:
        store.close()

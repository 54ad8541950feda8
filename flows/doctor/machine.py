"""Checks of this machine: what is installed, the room on its disks, and Prefect's server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from flows.doctor.check import Finding, Registry, fails, passes, warns
from flows.doctor.look import Look
from flows.run import prefect_api

registry = Registry()

_OURS = "azureml-finetune"
_SHOWN = ("azure-ai-ml", "azure-identity", "azureml-mlflow", "mlflow-skinny", "prefect")
_SCARCE, _TOO_LITTLE = 5 * 2**30, 2**30  # bytes


@registry.check("packages")
def packages(look: Look) -> Iterator[Finding]:
    """Every requirement of this project, by what is installed."""
    wrong = list(unmet(requires(_OURS) or ()))
    if wrong:
        yield fails(f"{'; '.join(wrong)}.", "Install it again: uv sync.")
        return
    shown = {name: version(name) for name in (_OURS, *_SHOWN)}
    python = ".".join(map(str, sys.version_info[:3]))
    listed = ", ".join(f"{name} {found}" for name, found in shown.items())
    yield passes(f"Python {python}, {listed}", {"python": python, **shown})


def unmet(requirements: Iterable[str]) -> Iterator[str]:
    """What of the requirements is not installed, or not in the version that they ask for."""
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} is {found} and should be {wanted.specifier}"


@registry.check("disk")
def disk(look: Look) -> Iterator[Finding]:
    """The disk that takes the prepared data."""
    import platformdirs

    chosen = look.config.data.directory
    folder = chosen.expanduser() if chosen else Path(platformdirs.user_cache_dir(_OURS))
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    says = f"{free / 2**30:,.1f} GB free at {there}"
    if free < _TOO_LITTLE:
        yield fails(f"{says}.", "Free some, or set data.directory to another disk.", {"bytes": free})
    elif free < _SCARCE:
        yield warns(f"{says}: a large dataset may not fit.", "Set data.directory.", {"bytes": free})
    else:
        yield passes(says, {"bytes": free})


@registry.check("prefect")
def prefect(look: Look) -> Iterator[Finding]:
    """The configured server, which is asked; where none is, nothing is started."""
    from prefect import __version__
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None:
        if look.config.wait.mode == "suspend":
            yield fails(
                "wait.mode is suspend, and no Prefect server is configured that could resume a run.",
                "Set PREFECT_API_URL, or wait.mode to poll.",
            )
        else:
            yield passes("PREFECT_API_URL is not set: each run has a temporary server of its own")
        return
    prefect_api.check_answers()
    if prefect_api.is_cloud():
        yield passes("Prefect Cloud answers")
        return
    server = prefect_api.server_version()
    if server.split(".")[:2] != __version__.split(".")[:2]:
        yield warns(
            f"The server is Prefect {server}, and this is {__version__}.",
            "Use one minor version on both sides.",
            {"server": server},
        )
    else:
        yield passes(f"the server answers, Prefect {server}", {"server": server})
    if prefect_api.database() == "sqlite":
        yield warns(
            "The server's database is SQLite, which is slow with several workers or thousands of runs.",
            "Set PREFECT_SERVER_DATABASE_CONNECTION_URL to a PostgreSQL database (docs/operations.md).",
        )

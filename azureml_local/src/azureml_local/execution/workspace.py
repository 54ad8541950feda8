"""The workspace put together: its state, and what executes in it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from azureml_local.errors import Conflict, NotFound
from azureml_local.execution.deployments import Deployments
from azureml_local.execution.environments import Environments
from azureml_local.execution.jobs import Jobs
from azureml_local.execution.router import Router
from azureml_local.execution.schedules import Schedules
from azureml_local.execution.tracking import Tracking
from azureml_local.settings import Settings
from azureml_local.state import access
from azureml_local.state.areas import Area, kinds
from azureml_local.state.documents import ENDPOINTS, LEDGER
from azureml_local.state.stay import staying
from azureml_local.state.workspace import WorkspaceState

# What a snapshot consists of.
_DOCUMENTS, _RUNS, _BLOBS = "documents.sqlite", "mlflow.sqlite", "blobs"


@dataclass(frozen=True, kw_only=True)
class Workspace(WorkspaceState):
    """A workspace that works: its state, with jobs, deployments, scoring and tracking over it.

    The first one of a server begins and ends with those beside it (see execution/neighbours.py).
    """

    jobs: Jobs
    deployments: Deployments
    router: Router
    tracking: Tracking
    schedules: Schedules
    exchange: threading.Lock = field(default_factory=threading.Lock)  # held while it becomes another
    proxied: set[int] = field(default_factory=set)  # ports of connections, see wire/proxy.py
    seen: set[str] = field(default_factory=set)  # names of jobs, see wire/first_look.py

    others: dict[str, Workspace] = field(default_factory=dict)
    ended: list[Workspace] = field(default_factory=list)

    @classmethod
    def open(cls, settings: Settings, first: WorkspaceState | None = None) -> Workspace:
        """Open the state directory, making what is missing; nothing runs before `start`."""
        state = WorkspaceState.open(settings, first)
        tracking = Tracking(settings, state.store)
        environments = Environments(state)
        deployments = Deployments(state, environments)
        jobs = Jobs(state, tracking, environments)
        return Workspace(
            **vars(state),
            jobs=jobs,
            schedules=Schedules(state, jobs.submit_scheduled),
            deployments=deployments,
            router=Router(state.store, deployments.servers),
            tracking=tracking,
        )

    def start(self) -> None:
        """Go on with what a previous server left unfinished; raises DamagedState."""
        self.tracking.check()
        self.operations.resume()
        self.deployments.resume()
        self.jobs.resume()
        self.schedules.resume()
        for other in self.others.values():
            other.start()

    def in_use(self) -> dict[str, list[str]]:
        """What keeps the workspace up when nobody holds it: live jobs, and the endpoints that are kept."""
        everyone = (self, *self.others.values())
        endpoints = (
            (name, document["tags"]) for each in everyone for name, document in each.store.list(ENDPOINTS)
        )
        return {
            "jobs": [name for each in everyone for name in each.jobs.records.unfinished()],
            "endpoints": staying(self.settings.state, endpoints, self.clock.now()),
        }

    def stop_jobs(self) -> list[str]:
        """End the processes of all jobs, which begin again with the next start; their names."""
        return [name for each in (self, *self.others.values()) for name in each.jobs.stop_all()]

    def clear(self, areas: Collection[Area]) -> None:
        """Empty those parts of the workspace: their jobs and servers end, nothing of them is left."""
        clearing = {
            Area.JOBS: self._end_jobs,
            Area.ENDPOINTS: self.deployments.end_all,
            Area.OPERATIONS: self.operations.clear,
            Area.BLOBS: self.blobs.clear,
            Area.LEDGER: self.ledger.clear,  # after what is billed has ended
            Area.FAULTS: lambda: self.faults.replace(()),
            Area.PERMISSIONS: lambda: self.access.replace(access.read(self.settings.scenario.permissions)),
            Area.CLOCK: self._restart_clock,
        }
        for area, clear in clearing.items():
            if area in areas:
                clear()
        if set(areas) == set(Area):
            self.store.clear()
        else:
            self.store.clear(kind for kind in kinds(areas) if kind != LEDGER.name)

    def snapshots(self) -> list[str]:
        """The names that `load` knows."""
        folder = self._snapshot("")
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(entry.name for entry in found if not entry.name.startswith("."))

    def save(self, name: str) -> None:
        """Keep documents, blobs and MLflow's runs under that name; raises Conflict while a job runs."""
        if self.others or self.registries:
            raise Conflict(
                "A snapshot is taken of one workspace: delete the workspaces and registries made beside it."
            )
        if live := self.jobs.records.unfinished():
            raise Conflict(f"The job {live[0]} has not ended: a snapshot is taken when no job runs.")
        if self.operations.waiting():
            raise Conflict("An operation is under way: a snapshot is taken when none is.")
        fresh = self._snapshot(f".{name}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with self.blobs.unchanged():
            self.store.copy_to(fresh / _DOCUMENTS)
            self.tracking.copy_to(fresh / _RUNS)  # afterwards: it has at least the runs that documents say
            self.blobs.copy_to(fresh / _BLOBS)
        shutil.rmtree(self._snapshot(name), ignore_errors=True)
        os.replace(fresh, self._snapshot(name))

    def load(self, name: str) -> None:
        """Have what was kept under that name in the place of all there is; raises NotFound."""
        kept = self._snapshot(name)
        if not kept.is_dir():
            raise NotFound(f"There is no snapshot {name}: save it first.")
        self.clear([Area.JOBS, Area.ENDPOINTS, Area.OPERATIONS])
        self.store.replace_by(kept / _DOCUMENTS)
        self.blobs.replace_by(kept / _BLOBS)
        self.tracking.replace_by(runs if (runs := kept / _RUNS).exists() else None)
        self.jobs.records.report_again()
        self.deployments.take_up()
        self.schedules.resume()

    def close(self) -> None:
        """Let go of jobs, whose processes run on, and end MLflow and the model servers."""
        beside = (*self.others.values(), *self.registries.values())
        for other in beside if self.first is None else ():
            other.close()
        self.schedules.close()
        self.jobs.close()
        self.tracking.close()
        self.deployments.close()
        super().close()

    def _end_jobs(self) -> None:
        self.jobs.end_all()
        self.seen.clear()
        self.tracking.replace_by(None)
        for directory in (self.settings.jobs_path, self.settings.checkpoints_path):
            shutil.rmtree(directory, ignore_errors=True)

    def _restart_clock(self) -> None:
        self.clock.restart()
        self.schedules.begin_again()

    def _snapshot(self, name: str) -> Path:
        return self.settings.state / "snapshots" / name

"""Runs put into a Prefect server's database as its own server would have, but thousands at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from flows.dashboard.run import RunRecord
from flows.run.report import KEY, RunReport

_BATCH = 500


def seed(database: str, runs: Sequence[RunRecord]) -> None:
    """Create the tables of a Prefect server at this connection URL, and the records of these runs in them."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: database}):
        asyncio.run(_seed(runs))


def report_of(run: RunRecord) -> RunReport:
    """The report that a run of these values would have left."""
    model, _, version = (run.registered or "").partition(":")
    shared = run.model_dump(include=RunReport.model_fields.keys() - {"model", "ended"})
    return RunReport.model_validate(
        shared
        | {
            "run": run.id,
            "started": run.when,
            "ended": run.ended,
            "outcome": run.state,
            "base_model": run.model,
            "data_rows": run.rows,
            "model": model or None,
            "model_version": version or None,
            "deletion": run.deletion,
            "training_usd": run.training_usd or 0.0,
            "serving_usd": run.serving_usd or 0.0,
            "cost_usd": run.cost_usd or 0.0,
        }
    )


def parameters_of(run: RunRecord) -> dict[str, Any]:
    """The parameters of a run with these settings."""
    parameters: dict[str, Any] = {"recipe": run.recipe, "base": {"name": run.base}}
    for path, value in run.settings.items():
        *sections, field = path.split(".")
        inner = parameters
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[field] = value
    return parameters


async def _seed(runs: Sequence[RunRecord]) -> None:
    from prefect.server.database import provide_database_interface
    from prefect.server.models import flows
    from prefect.server.schemas.core import Flow

    db: Any = provide_database_interface()
    await db.create_db()
    async with db.session_context(begin_transaction=True) as session:
        create_flow: Any = flows.create_flow
        flow_id = (await create_flow(session=session, flow=Flow(name="finetune"))).id
    for start in range(0, len(runs), _BATCH):
        async with db.session_context(begin_transaction=True) as session:
            await _add(db, session, flow_id, runs[start : start + _BATCH])
    await (await db.engine()).dispose()


async def _add(db: Any, session: Any, flow: UUID, runs: Sequence[RunRecord]) -> None:
    """A run and its state refer to each other: each is inserted before it is referred to."""
    records = [_record(db, flow, run) for run in runs]
    session.add_all(records)
    await session.flush()
    states = [_state(db, run) for run in runs]
    session.add_all([*states, *(_artifact(db, run) for run in runs if run.state != "crashed")])
    await session.flush()
    for record, state in zip(records, states, strict=True):
        record.state_id = state.id


def _record(db: Any, flow: UUID, run: RunRecord) -> Any:
    return db.FlowRun(
        id=UUID(run.id),
        name=run.name,
        flow_id=flow,
        deployment_id=None if run.trigger == "ad hoc" else flow,
        auto_scheduled=run.trigger == "schedule",
        parameters=parameters_of(run),
        expected_start_time=run.when,
        start_time=run.when,
        end_time=run.ended,
        run_count=1,
        state_type=run.state.upper(),
        state_name=run.state.title(),
        state_timestamp=run.ended or run.when,
    )


def _state(db: Any, run: RunRecord) -> Any:
    return db.FlowRunState(
        id=uuid4(),
        flow_run_id=UUID(run.id),
        type=run.state.upper(),
        name=run.state.title(),
        message=run.message,
        timestamp=run.ended or run.when,
    )


def _artifact(db: Any, run: RunRecord) -> Any:
    row = report_of(run).model_dump(mode="json")
    return db.Artifact(key=KEY, type="table", flow_run_id=UUID(run.id), data=json.dumps([row]))

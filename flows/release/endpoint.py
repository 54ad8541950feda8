"""A run's endpoint, deleted or kept in the end, and a roll-out behind one that lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.futures import PrefectFuture

from flows.release.section import released, settled
from flows.run import place, pricing
from flows.run.context import Run
from tasks.azure.failure import Failure
from tasks.core import outage
from tasks.core.stage import logger
from tasks.delete import Deletion, delete_endpoint, keep_endpoint
from tasks.endpoint import Endpoint, name_of, open_endpoint
from tasks.reap import settle_rollouts


@contextmanager
def endpoint_released(run: Run) -> Iterator[PrefectFuture[Endpoint]]:
    """An endpoint on its way, deleted however the block ends; kept only after success, and on request."""
    chosen = run.config.deploy.endpoint
    name = name_of(run.session, chosen, run.plan, run.trained)
    opening = open_endpoint.submit(
        run.session, name, run.trained, run.serving_lease, fixed=chosen is not None
    )
    keep = False
    try:
        with settled(run, opening):  # until then it cannot be deleted
            yield opening
        keep = run.config.deploy.is_kept and run.judgement.passed
    finally:
        released(run, lambda: _end(run, name, keep))


def _end(run: Run, name: str, keep: bool) -> None:
    opened = Run.endpoint.of(run)
    name = opened.name if opened is not None else name
    run.deletion = _kept(run, name) if keep else _deleted(run, name)


def _kept(run: Run, name: str) -> Deletion:
    pricing.note_served(run, name)
    until = run.serving_lease.extended(run.config.deploy.kept_hours())
    try:
        return keep_endpoint(run.session, name, until, place.options(run.config.workspace, run.session))
    except Exception as error:
        # Whatever it was: an endpoint that nobody has promised to keep is not left to its lease.
        logger().error("The endpoint %s cannot be kept, and is deleted: %s", name, error)
        run.deletion = _deleted(run, name)
        raise


def _deleted(run: Run, name: str) -> Deletion:
    pricing.note_served(run, name)
    try:
        deletion = delete_endpoint(run.session, name, run.lease)
        pricing.end_served(run, deletion.removal)
        return deletion
    except Failure as failure:
        logger().error("The endpoint %s IS STILL BILLED: %s Run `finetune reap`.", name, failure)
        raise


@contextmanager
def rollout_settled(run: Run) -> Iterator[None]:
    """A roll-out that ends however the block does: where it fails, the old deployment serves as before."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            run.stages.interrupt()
        released(run, lambda: _taken_back(run))
        raise
    released(run, lambda: _taken_back(run))


def _taken_back(run: Run) -> None:
    outage.outlast(lambda: settle_rollouts(run.session, run.id), outage.CLEAN_UP)

"""A run's cluster, deleted when it is done with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import Pause

from flows.release.section import released
from flows.run.context import Run
from tasks.core import signals
from tasks.core.ending import Ending, ending_of
from tasks.delete import delete_cluster


@contextmanager
def cluster_released(run: Run) -> Iterator[None]:
    """Delete a cluster that this run created, unless it is to be kept or its job goes on."""
    keep = run.config.compute.keep or run.config.compute.is_serverless
    try:
        yield
    except Exception:
        raise
    except Pause:  # the job of a suspended run goes on
        keep = True
        raise
    except BaseException as error:
        signals.hold()
        run.stages.interrupt()
        keep = keep or ending_of(error) is Ending.LOST
        raise
    finally:
        if not keep:
            released(run, lambda: _delete_cluster(run))


def _delete_cluster(run: Run) -> None:
    name = run.config.compute.training
    removal = delete_cluster(run.session, name, run.lease)
    if removal is not None:
        run.deleted_cluster, run.released = name, removal.began

"""The last word on a cancelled run: what became of its job, its endpoint and its dollars, in its state.

Prefect's worker sets a run's state to Cancelled, with a message of its own, once the run's process has ended
and its hook has returned. Nothing of the run is left then that could say more, but the process begun here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from prefect.states import Cancelled

_ROOT = Path(__file__).resolve().parents[2]
_LIMIT = 300.0  # seconds; it takes one or two
_PAUSE = 0.5


def begin(run: UUID, released: Sequence[str]) -> None:
    """Start the process for a run whose hook has `released` so much; it outlives the hook's own process."""
    variables = get_current_settings().to_environment_variables(exclude_unset=True)
    subprocess.Popen(
        [sys.executable, "-m", "flows.operations.epilogue", str(run), *released],
        cwd=_ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def tell(run: UUID, released: list[str]) -> None:
    """Wait until the run is cancelled, and put into its state what it has reported and was released since."""
    line = "; ".join(filter(None, (_reported(run), f"released {', '.join(released)}" if released else "")))
    ends = monotonic() + _LIMIT
    with get_client(sync_client=True) as client:
        while line and monotonic() < ends:
            state = client.read_flow_run(run).state
            if state is not None and state.is_cancelled():
                client.set_flow_run_state(run, Cancelled(message=line), force=True)
                return
            if state is not None and state.is_final():
                return
            sleep(_PAUSE)


def _reported(run: UUID) -> str:
    """The outcome that the run has reported itself; empty where it was killed before."""
    from flows.run.earlier import last_report
    from flows.run.outcome import outcome

    with get_client(sync_client=True) as client:
        report = last_report(client, run)
    return outcome(report) if report else ""


if __name__ == "__main__":
    tell(UUID(sys.argv[1]), sys.argv[2:])

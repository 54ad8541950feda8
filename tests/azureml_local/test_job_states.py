"""Job states: where they lead, and which are the ends."""

from __future__ import annotations

import pytest

from azureml_local.state.job_states import FOLLOWING, JobState

ENDS = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED}


def test_exactly_the_ends_are_final() -> None:
    assert {state for state in JobState if state.is_final} == ENDS


def test_every_state_is_described_and_reached() -> None:
    assert set(FOLLOWING) == set(JobState)
    assert set().union(*FOLLOWING.values()) == set(JobState) - {JobState.NOT_STARTED}


@pytest.mark.parametrize("state", [state for state in JobState if not state.is_final])
def test_a_job_can_end_in_any_way_at_any_time(state: JobState) -> None:
    assert all(state.may_become(end) for end in ENDS)


def test_a_job_that_is_asked_to_end_shows_so_until_it_ends() -> None:
    assert FOLLOWING[JobState.CANCEL_REQUESTED] == ENDS


def test_only_a_job_whose_node_was_taken_away_goes_back_to_the_queue() -> None:
    order = (JobState.QUEUED, JobState.PREPARING, JobState.RUNNING, JobState.FINALIZING)
    backwards = {
        (later, earlier)
        for position, later in enumerate(order)
        for earlier in order[:position]
        if later.may_become(earlier)
    }
    assert backwards == {(JobState.PREPARING, JobState.QUEUED), (JobState.RUNNING, JobState.QUEUED)}

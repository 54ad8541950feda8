"""The states of jobs and of their steps, as the service writes them."""

from __future__ import annotations

# OpenAPI (JobStatus) and run history; a step's run has the same words.
QUEUED = frozenset({"NotStarted", "Queued", "Unapproved"})
PROVISIONING = frozenset({"Starting", "Provisioning", "Preparing"})
RUNNING = frozenset({"Running", "Finalizing", "CancelRequested"})
# Only Completed is success. The service lets go of a job in the two last states as well.
FINAL = frozenset({"Completed", "Failed", "Canceled", "NotResponding", "Paused"})
COMPLETED = "Completed"
# Nothing more comes of a job that is being cancelled, though its nodes may still be billed.
GIVEN_UP = FINAL - {COMPLETED} | {"CancelRequested"}
OVER = FINAL | GIVEN_UP

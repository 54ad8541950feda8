"""What long operations do to a resource's provisioning state, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Transition:
    """A resource shows `during` until the operation ends, then `after`; no `after` means that it is gone.

    `seconds` is what it takes at the pace `real` when no real work decides.
    """

    during: str
    after: str | None
    seconds: float


CREATE_REGISTRY = Transition("Creating", "Succeeded", 4.0)
DELETE_REGISTRY = Transition("Deleting", None, 3.0)
DELETE_WORKSPACE = Transition("Deleting", None, 4.0)
CREATE_COMPUTE = Transition("Creating", "Succeeded", 6.0)
UPDATE_COMPUTE = Transition("Updating", "Succeeded", 2.0)
DELETE_COMPUTE = Transition("Deleting", None, 3.0)
CREATE_ASSET = Transition("Creating", "Succeeded", 2.0)  # in a registry; in a workspace it takes no time
CREATE_SCHEDULE = Transition("Creating", "Succeeded", 2.0)
UPDATE_SCHEDULE = Transition("Updating", "Succeeded", 2.0)
DELETE_SCHEDULE = Transition("Deleting", None, 2.0)
CREATE_ENDPOINT = Transition("Creating", "Succeeded", 4.0)
UPDATE_ENDPOINT = Transition("Updating", "Succeeded", 2.0)
DELETE_ENDPOINT = Transition("Deleting", None, 4.0)
CREATE_DEPLOYMENT = Transition("Creating", "Succeeded", 0.0)  # starting the model server is the work
UPDATE_DEPLOYMENT = Transition("Updating", "Succeeded", 0.0)
SCALE_DEPLOYMENT = Transition("Scaling", "Succeeded", 2.0)
DELETE_DEPLOYMENT = Transition("Deleting", None, 3.0)
CREATE_BATCH_ENDPOINT = Transition("Creating", "Succeeded", 4.0)
UPDATE_BATCH_ENDPOINT = Transition("Updating", "Succeeded", 2.0)
DELETE_BATCH_ENDPOINT = Transition("Deleting", None, 4.0)
PUT_BATCH_DEPLOYMENT = Transition("Updating", "Succeeded", 4.0)  # of a first one as well (recorded in 2023)
DELETE_BATCH_DEPLOYMENT = Transition("Deleting", None, 3.0)

"""What the tests' own runs have made, in a workspace where others have jobs and endpoints too.

azure-ai-ml's list of jobs is of no use there: it ends with an error at a job of a kind that it does not know.
"""

from __future__ import annotations

from typing import Any

from azureml_local.wire import seed_file
from tasks.azure import listing
from tasks.azure.listing import Listed
from tasks.core.lease import RUN
from tasks.sign_in import Workspace, sign_in


def jobs() -> list[Listed]:
    """The jobs that runs have submitted, the newest first."""
    return list(listing.jobs(sign_in.fn(Workspace()), tag=RUN))


def endpoints(ml_client: Any) -> list[str]:
    """The names of the endpoints that are not other people's."""
    theirs = {endpoint["name"] for endpoint in seed_file.read(seed_file.SHARED).endpoints}
    return [each.name for each in ml_client.online_endpoints.list() if each.name not in theirs]

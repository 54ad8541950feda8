"""The end-to-end tests' workspace: others work in it too, its storage takes no keys, and the run may do
no more than it must.

An empty workspace that belongs to the one who runs is what nobody has on Azure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Scenario
from azureml_local.state import access
from azureml_local.wire import seed_file
from tests.conftest import LocalServer, allow_many_clusters
from tests.support import tiny_model
from tests.support.leftovers import Leftovers


@contextmanager
def serving(state: Path, leftovers: Leftovers) -> Iterator[LocalServer]:
    """A server over `state` with a seed, the tiny component and its base model, and the least of roles."""
    allow_many_clusters(state)
    with switch.joined(state, scenario=Scenario(seed=seed_file.SHARED, storage="identity")) as environment:
        if (address := Address.read(state)) is not None:
            leftovers.keep(address.pid, "the end-to-end tests' workspace")
        server = LocalServer(state, environment["AZUREML_LOCAL_URL"], environment)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            tiny_model.install(state / "base")  # by an owner: to publish a model takes a role in the registry
        server.admin("permissions", {"roles": access.LEAST_PRIVILEGE})
        yield server

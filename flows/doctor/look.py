"""What several checks look at: each is asked for once, by whichever check needs it first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from flows.run.config import Finetune
from tasks import compute
from tasks.azure import clients, listing
from tasks.azure.clients import Session
from tasks.azure.listing import Listed
from tasks.base_model import BaseModelVersion, find_model
from tasks.job.pipeline import find_component
from tasks.sign_in import sign_in

T = TypeVar("T")

_WORKSPACE = "2024-04-01"


class Unmet(Exception):
    """A check cannot be made, as what it looks at could not be had: another check says why."""


class Once(Generic[T]):
    """A value that is asked for once; `owner` is the check that reports why it cannot be had."""

    def __init__(self, owner: str, ask: Callable[[], T]) -> None:
        self.owner = owner
        self._ask = ask
        self._lock = threading.Lock()
        self._value: T | None = None
        self._error: Exception | None = None
        self._asked = False

    def own(self) -> T:
        """The value; raises what asking for it has raised."""
        with self._lock:
            if not self._asked:
                try:
                    self._value = self._ask()
                except Exception as error:  # noqa: BLE001 - raised below, each time
                    self._error = error
                self._asked = True
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def get(self) -> T:
        """The value, for a check that only needs it; raises Unmet where it cannot be had."""
        try:
            return self.own()
        except Exception as error:
            raise Unmet(self.owner) from error


class Look:
    """A recipe's workspace, model, component and cluster, as far as they are looked at."""

    def __init__(self, config: Finetune) -> None:
        self.config = config
        self.session = Once("sign-in", partial(sign_in.fn, config.workspace))
        self.workspace = Once("workspace", self._workspace)
        self.base = Once("base model", self._base)
        self.component = Once("component", self._component)
        self.cluster = Once("cluster", self._cluster)

    def found_cluster(self, session: Session) -> Any:
        """The SDK's cluster, or None."""
        return compute.find(session, self.config.compute.training)

    def _workspace(self) -> dict[str, Any]:
        session = self.session.get()
        found: dict[str, Any] = clients.read(session, session.workspace_id, _WORKSPACE)
        return found

    def _base(self) -> BaseModelVersion:
        return find_model.fn(self.session.get(), self.config.base)

    def _component(self) -> Any:
        return find_component(self.session.get(), self.config.pipeline)

    def _cluster(self) -> Listed | None:
        if self.config.compute.is_serverless:
            return None
        return listing.cluster(self.session.get(), self.config.compute.training)

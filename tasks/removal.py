"""A removal: what costs is deleted and seen to be gone, and when that was by the service's own word.

A run may see it minutes late, as the service may be away meanwhile, and dollars are counted by the minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, listing, operation, private, service_clock
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.operation import Billed
from tasks.core.log import logger
from tasks.core.outage import CLEAN_UP, outlast

_LATE = timedelta(minutes=1)  # between the last look at a thing and the one that did not find it
_NEVER = 1  # the year that the service writes for the end of an operation that has not ended (recorded)


class Removal(BaseModel):
    """When the deletion `began` and `ended`, by the service's clock.

    `is_least` where the service does not say: `ended` is then when the thing was last known to be there.
    """

    model_config = ConfigDict(frozen=True)

    began: datetime
    ended: datetime
    is_least: bool = False

    @classmethod
    def between(cls, there: datetime, gone: datetime) -> Removal:
        """Of a thing that was last known to be there, and then seen to be gone."""
        is_least = gone - there > _LATE
        return cls(began=there, ended=there if is_least else gone, is_least=is_least)


def remove(session: Session, ask: Callable[[], Any], find: Callable[[], Any], billed: Billed) -> Removal:
    """Ask for the deletion, and return once nothing is found any more; an outage meanwhile is outlasted.

    Raises Failure, as `operation.delete` and `operation.gone` do.
    """
    asked = service_clock.now()
    poller = operation.delete(lambda: outlast(ask, CLEAN_UP), billed)
    seen = operation.gone(lambda: outlast(find, CLEAN_UP), billed) or asked
    return _said(session, poller) or Removal.between(seen, service_clock.now())


def _said(session: Session, poller: Any) -> Removal | None:
    """What the operation says of itself; None where it cannot be asked, or does not say."""
    address = private.operation_address(poller)
    if address is None:
        return None
    try:
        answer = outlast(lambda: clients.follow(session, address), CLEAN_UP)
    except Exception as error:  # noqa: BLE001 - the thing is gone, which is what was wanted
        logger().debug("When the deletion ended cannot be seen: %s", explain(error))
        return None
    began, ended = (listing.moment(answer.get(name)) for name in ("startTime", "endTime"))
    if began is None or ended is None or ended.year == _NEVER:
        return None
    return Removal(began=began, ended=ended)

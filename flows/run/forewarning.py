"""What a run says beforehand of what may end it later: looked at cheaply, and never a reason to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flows.run.config import Finetune
from tasks import serving_image
from tasks.azure import permissions
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.base_model import BaseModelVersion
from tasks.core.stage import logger


def forewarn(session: Session, config: Finetune, base: BaseModelVersion) -> None:
    """Log what `finetune doctor` would warn of and no stage refuses, before anything is paid for."""
    _look("permissions", lambda: _permissions(session, config))
    _look("the serving image", lambda: _image(session, config, base))


def _look(what: str, find: Callable[[], Iterator[str]]) -> None:
    try:
        for warning in find():
            logger().warning(warning)
    except Exception as error:  # noqa: BLE001 - a run does not need to know it
        logger().info("Not looked at beforehand: %s (%s)", what, explain(error).what)


def _permissions(session: Session, config: Finetune) -> Iterator[str]:
    """The actions that no role of the identity allows; a condition on a role may allow them all the same."""
    wanted = permissions.needed(cluster=config.compute.is_created)
    for need in permissions.missing(permissions.held(session), wanted):
        yield f"No role of the signed-in identity allows {need.action}, which is for {need.purpose}."


def _image(session: Session, config: Finetune, base: BaseModelVersion) -> Iterator[str]:
    image = serving_image.find_image(session, config.base, base)
    if image.name and image.doubt:
        yield f"A deployment of the tuned model may not start: {image.doubt}."

"""What the signed-in identity may do: its roles, each at a scope, as Azure has them.

The roles are files as `az role definition create` takes them. A role holds at its AssignableScopes, of which
only the level counts: here are one subscription, one group, one workspace and one storage account, whatever
they are called elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from azureml_local.errors import Forbidden

OWNER = "owner"
LEAST_PRIVILEGE = "least-privilege"

_ROLES = Path(__file__).parent / "roles"
# An owner of the subscription reads no blob by that alone, but gives itself the role for it.
_PRESETS = {
    OWNER: ("owner", "storage-blob-data-contributor"),
    LEAST_PRIVILEGE: ("fine-tune-runner", "price-and-quota-reader", "storage-blob-data-contributor"),
}
_LISTS = ("Actions", "NotActions", "DataActions", "NotDataActions", "AssignableScopes")


class BadRole(Exception):
    """What was given is no role; the message says why."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the application, and its object in the directory."""

    client: str
    object_id: str


@dataclass(frozen=True)
class Role:
    """What is allowed, and at which scopes; `*` in an action stands for any text, slashes included."""

    name: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    data_actions: tuple[str, ...]
    not_data_actions: tuple[str, ...]
    scopes: tuple[str, ...]

    def allows(self, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether the action is allowed at the scope; `data` asks for one on data, not on resources."""
        granted, withheld = (
            (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        )
        return self.holds_at(scope) and _among(action, granted) and not _among(action, withheld)

    def holds_at(self, scope: str) -> bool:
        """Whether the role is assigned at the scope or above it."""
        wanted = _levels(scope)
        return any(wanted[: len(level)] == level for level in map(_levels, self.scopes))


class Access:
    """The roles in force; they can be replaced while the server runs."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self._roles = tuple(roles)

    def replace(self, roles: Sequence[Role]) -> None:
        """Put other roles in force."""
        self._roles = tuple(roles)

    def at(self, scope: str) -> tuple[Role, ...]:
        """The roles that hold at a scope."""
        return tuple(role for role in self._roles if role.holds_at(scope))

    def allows(self, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether any role allows the action at the scope."""
        return any(role.allows(action, scope, data=data) for role in self._roles)

    def check(self, caller: Caller, action: str, scope: str) -> None:
        """Raise Forbidden, in Resource Manager's words as users report them, for what no role allows."""
        if not self.allows(action, scope):
            raise Forbidden(
                f"The client '{caller.client}' with object id '{caller.object_id}' does not have "
                f"authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. "
                "If access was recently granted, please refresh your credentials."
            )


def read(which: str) -> tuple[Role, ...]:
    """The roles of a preset, or of a file with one role or a list of them; raises BadRole."""
    if which in _PRESETS:
        return tuple(map(_role, documents(which)))
    path = Path(which)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BadRole(f"There is no file {path}; or choose {' or '.join(_PRESETS)}.") from None
    except (OSError, ValueError) as error:
        raise BadRole(f"The roles in {path} cannot be read: {error}.") from error
    try:
        return parse(found)
    except BadRole as error:
        raise BadRole(f"The roles in {path} are wrong: {error}") from None


def documents(preset: str) -> list[dict[str, Any]]:
    """The roles of a preset as they are written in its files."""
    return [json.loads((_ROLES / f"{name}.json").read_text()) for name in _PRESETS[preset]]


def parse(document: Any) -> tuple[Role, ...]:
    """The roles of a JSON document: the name of a preset, one role, or a list of roles; raises BadRole."""
    if isinstance(document, str) and document in _PRESETS:
        return read(document)
    return tuple(map(_role, document if isinstance(document, list) else [document]))


def _role(document: Any) -> Role:
    if not isinstance(document, dict) or not isinstance(document.get("Name"), str):
        raise BadRole("a role is a JSON object with a Name, as `az role definition create` takes it.")
    lists = [_texts(document, name) for name in _LISTS]
    if not lists[-1]:
        raise BadRole(f"the role {document['Name']} has no AssignableScopes.")
    return Role(document["Name"], *lists)


def _texts(document: dict[str, Any], name: str) -> tuple[str, ...]:
    found = document.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadRole(f"{name} of the role {document['Name']} must be a list of strings.")
    return tuple(found)


def _among(action: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(action) for pattern in patterns)


@lru_cache(maxsize=1024)
def _pattern(action: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, action.split("*"))), re.IGNORECASE)


def _levels(scope: str) -> tuple[str, ...]:
    """What a scope is made of without its names: subscriptions, resourcegroups, a provider, its types."""
    parts = iter(scope.strip("/").casefold().split("/"))
    levels = []
    for part in parts:
        name = next(parts, "")
        levels.append(f"{part}/{name}" if part == "providers" else part)
    return tuple(filter(None, levels))

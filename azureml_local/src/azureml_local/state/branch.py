"""The documents of a workspace beside the first: what all workspaces share is in the first one's store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from azureml_local.state.document import D, Kind
from azureml_local.state.documents import HELD_NAMES, PROVIDERS, QUOTAS, is_of_registry
from azureml_local.state.order import Order, Position
from azureml_local.state.store import Store

_SHARED = frozenset({QUOTAS.name, PROVIDERS.name, HELD_NAMES.name})


class BranchStore(Store):
    """A store whose documents of registries, the subscription and the region are those of the `trunk`."""

    def __init__(self, path: Path, trunk: Store, *, durable: bool = False) -> None:
        super().__init__(path, durable=durable)
        self._trunk = trunk

    def of_registry(self, name: str) -> Store:
        return self._trunk.of_registry(name)

    def get(self, kind: Kind[D], name: str) -> D | None:
        return self._trunk.get(kind, name) if _is_shared(kind) else super().get(kind, name)

    def put(self, kind: Kind[D], name: str, body: D) -> D:
        return self._trunk.put(kind, name, body) if _is_shared(kind) else super().put(kind, name, body)

    def create(self, kind: Kind[D], name: str, body: D) -> D:
        return self._trunk.create(kind, name, body) if _is_shared(kind) else super().create(kind, name, body)

    def update(self, kind: Kind[D], name: str, change: Callable[[D], D]) -> D:
        if _is_shared(kind):
            return self._trunk.update(kind, name, change)
        return super().update(kind, name, change)

    def delete(self, kind: Kind[D], name: str) -> bool:
        return self._trunk.delete(kind, name) if _is_shared(kind) else super().delete(kind, name)

    def list(
        self, kind: Kind[D], prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, D]]:
        if _is_shared(kind):
            return self._trunk.list(kind, prefix, after=after, limit=limit)
        return super().list(kind, prefix, after=after, limit=limit)

    def newest(
        self, order: Order[D], group: str = "", *, after: Position | None = None
    ) -> Iterator[tuple[Position, D]]:
        if _is_shared(order.kind):
            return self._trunk.newest(order, group, after=after)
        return super().newest(order, group, after=after)

    def oldest(
        self, order: Order[D], group: str = "", *, after: Position | None = None
    ) -> Iterator[tuple[Position, D]]:
        if _is_shared(order.kind):
            return self._trunk.oldest(order, group, after=after)
        return super().oldest(order, group, after=after)

    def last(self, order: Order[D], group: str = "") -> D | None:
        return self._trunk.last(order, group) if _is_shared(order.kind) else super().last(order, group)

    def first_parts(self, kind: Kind[D], after: str = "") -> Iterator[str]:
        return self._trunk.first_parts(kind, after) if _is_shared(kind) else super().first_parts(kind, after)


def _is_shared(kind: Kind[D]) -> bool:
    return kind.name in _SHARED or is_of_registry(kind)

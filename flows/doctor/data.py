"""The check of the data: its source answers and has the splits; no row of it is read."""

from __future__ import annotations

from collections.abc import Iterator

from flows.doctor.check import Finding, Registry, passes
from flows.doctor.look import Look
from tasks.data import choice, datastore
from tasks.data.resolve import resolve

registry = Registry()


@registry.check("data")
def source(look: Look) -> Iterator[Finding]:
    """The listing of the source, and the files of each split."""
    data = look.config.data
    if datastore.is_meant(data.dataset):
        data = datastore.addressed(data, look.session.get())
    found = resolve(data)
    parts = choice.parts(data, found)
    files = sorted({file for part in parts for file in part.files})
    at = f" at {found.revision[:12]}" if found.revision else ""
    splits = ", ".join(part.title for part in parts)
    yield passes(f"{found.name}{at}: {splits}, in {len(files)} files", {"revision": found.revision})

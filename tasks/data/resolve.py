"""From what the section names to a source: the bundled sample, files anywhere, or a dataset of the hub."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path, PurePosixPath

from tasks.data import datastore, files, hub
from tasks.data.layout import FORMATS
from tasks.data.section import SAMPLE, Data
from tasks.data.source import Source


def resolve(data: Data) -> Source:
    """The source that the section names; nothing but listings is read. Raises Failure in one line."""
    if data.dataset == SAMPLE:
        sample = files.listed(str(resources.files("tasks.data") / SAMPLE), SAMPLE, data)
        return replace(sample, others=())  # how it was made, and by whom
    if is_path(data.dataset):
        return files.listed(data.dataset, data.dataset, data)
    return hub.listed(data)


def is_path(dataset: str) -> bool:
    """Whether a dataset is files, and not a name of the hub's."""
    if (
        "://" in dataset
        or datastore.is_meant(dataset)
        or any(mark in dataset for mark in "*?[\\")
        or dataset.startswith((".", "/", "~"))
    ):
        return True
    if Path(dataset).exists() or dataset.count("/") > 1:
        return True
    return any(suffix.lower() in FORMATS for suffix in PurePosixPath(dataset).suffixes)

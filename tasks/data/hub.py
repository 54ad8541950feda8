"""Datasets of the Hugging Face hub: which files a revision has for each split."""

from __future__ import annotations

from tasks.azure.failure import Cause, Failure
from tasks.data import card, layout
from tasks.data.layout import READ, Format
from tasks.data.section import Data
from tasks.data.source import Source

_OFFLINE = "Name a local path instead, or dataset: sample for the conversations that come along."
_UNREACHABLE = {"ConnectionError", "OfflineModeIsEnabled", "ConnectError", "TimeoutException"}
_UNKNOWN = {"DatasetNotFoundError", "RepositoryNotFoundError", "HFValidationError"}
_TIMEOUT = 20.0  # seconds


def listed(data: Data) -> Source:
    """The dataset as its card lays it out, at the commit that the revision is now."""
    from fsspec.core import url_to_fs
    from huggingface_hub import HfApi

    commit: str | None = None
    try:
        # Asked first and once: the loader would try for half a minute to reach what is not there.
        commit = HfApi().dataset_info(data.dataset, revision=data.revision, timeout=_TIMEOUT).sha
        import datasets

        builder = datasets.load_dataset_builder(data.dataset, data.subset, revision=commit)
    except Exception as error:  # the libraries raise a dozen kinds, their own and the network's
        raise _failure(data, commit, error) from error
    found = {str(split): tuple(files) for split, files in (builder.config.data_files or {}).items()}
    files = [file for split in found.values() for file in split]
    formats: dict[str, Format] = {}
    unread = [file for file in files if layout.format_of(file) is None]
    if unread or not files:
        named = f" ({unread[0].rsplit('/', 1)[-1]})" if unread else ""
        raise Failure(
            f"The hub's dataset {data.dataset} is in no format that can be read here{named}.",
            f"Download it and name the files ({READ}).",
            cause=Cause.DATA,
        )
    fs, _ = url_to_fs(files[0])
    splits = {name: tuple(fs._strip_protocol(file) for file in paths) for name, paths in found.items()}
    for paths in splits.values():
        formats |= {path: kind for path in paths if (kind := layout.format_of(path))}
    root = f"datasets/{data.dataset}@{commit}"
    return Source(data.dataset, commit, fs, splits, formats, "\n".join(sorted(files)), root)


def _failure(data: Data, commit: str | None, error: Exception) -> Failure:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return Failure(
            f"The hub's dataset {data.dataset} is gated.",
            "Accept its terms and set HF_TOKEN.",
            str(error),
            cause=Cause.PERMISSION,
        )
    if "RevisionNotFoundError" in kinds:
        return Failure(
            f"The hub's dataset {data.dataset} has no revision {data.revision}.",
            "Set data.revision to a branch, a tag or a commit of it, or leave it empty.",
            str(error),
            cause=Cause.NOT_FOUND,
        )
    if kinds & _UNKNOWN:
        return Failure(
            f"The hub has no dataset {data.dataset}, or none that you may read.",
            f"Check the name, and HF_TOKEN for a private one. {_OFFLINE}",
            str(error),
            cause=Cause.NOT_FOUND,
        )
    if kinds & _UNREACHABLE:
        return Failure(
            f"The Hugging Face hub cannot be reached, so {data.dataset} cannot be read.",
            _OFFLINE,
            str(error),
            cause=Cause.UNREACHABLE,
        )
    names = _configurations(data, commit) if commit else []
    if names and (data.subset not in names if data.subset else len(names) > 1):
        return card.unknown_subset(data, names)
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return Failure(
        f"The hub's dataset {data.dataset} cannot be opened: {reason}.",
        f"Download it and name the files ({READ}).",
        str(error),
        cause=Cause.DATA,
    )


def _configurations(data: Data, commit: str) -> list[str]:
    """The dataset's configurations; none where they cannot be asked for."""
    import datasets

    try:
        return list(datasets.get_dataset_config_names(data.dataset, revision=commit))
    except Exception:  # noqa: BLE001 - the first error is the one to tell
        return []

"""The small files of a registry model that say how long a conversation with it may be; never its weights."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tasks.azure import private
from tasks.azure.errors import explain, is_unauthorised
from tasks.core.log import logger
from tasks.data.window import Window

_CONFIG, _TOKENIZER = "config.json", "tokenizer.json"
_TEMPLATE = ("tokenizer_config.json", "chat_template.jinja")  # for those who look at the data
# What the families of models call the number of tokens that they attend to.
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_NAMED = re.compile(r"-(\d+)k(?=-|$)", re.IGNORECASE)  # Phi-3-mini-128k-instruct
# A storage account behind a firewall does not answer at all. The SDK's own patience is minutes.
_STORAGE = {"connection_timeout": 10, "read_timeout": 60, "retry_total": 2}


def find_window(models: Any, model: Any) -> Window:
    """The window of a model by its own files, which are kept; by its name where they cannot be had.

    `models` are the SDK's operations of the model's registry. What is missing is said in the log.
    """
    folder, counts = _folder(model), find_spec("tokenizers") is not None
    wanted = [_CONFIG, _TOKENIZER] if counts else [_CONFIG]
    kept = {name for name in (*wanted, *_TEMPLATE) if (folder / name).is_file()}
    reason = _fetch(models, model, [name for name in wanted if name not in kept], folder)
    if not kept & set(_TEMPLATE) and set(wanted) <= kept:
        _fetch(models, model, _TEMPLATE, folder)  # of a model whose other files an earlier release has kept
    limit, source = _limit(folder / _CONFIG, model.name)
    logger().info("Its window: %s", f"{limit:,} tokens, by {source}" if limit else "unknown")
    if not counts:
        reason = "the package tokenizers is not installed (uv sync --extra local)"
    if not (folder / _TOKENIZER).is_file() or not counts:
        logger().warning("Tokens will be estimated: %s", reason)
        return Window(limit=limit, source=source, estimated=reason)
    return Window(limit=limit, source=source, tokenizer=str(folder / _TOKENIZER))


def read_file(models: Any, model: Any, name: str) -> bytes | None:
    """One file of a model, the nearest to its root; None where it has none of that name."""
    with opened(models, model) as (storage, prefix):
        found = nearest([blob.name for blob in storage.list_blobs(name_starts_with=prefix)], [name])
        content: bytes | None = storage.download_blob(found[name]).readall() if found else None
    return content


def nearest(blobs: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """The blob of each name: of the folder that has them all, else each by itself, nearest to the root.

    A model's folder may hold other models', a reference's or an adapter's, further down.
    """
    folders: dict[PurePosixPath, dict[str, str]] = {}
    for blob in blobs:
        path = PurePosixPath(blob)
        if path.name in names:
            folders.setdefault(path.parent, {})[path.name] = blob
    found: dict[str, str] = {}
    for folder in sorted(folders, key=lambda each: (-len(folders[each]), len(each.parts), str(each))):
        found = {**folders[folder], **found}
    return found


def cache() -> Path:
    """Where the files of all models are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("azureml-finetune")) / "models"


def _folder(model: Any) -> Path:
    """A folder for this version and no other: two registries may have other files of the same name."""
    address = urlsplit(str(model.path))  # without its port, which is another each day on this machine
    digest = hashlib.sha256(f"{model.id} {address.hostname} {address.path}".encode()).hexdigest()
    return cache() / f"{model.name}-{model.version}-{digest[:12]}"


def _limit(config: Path, name: str) -> tuple[int | None, str]:
    """The window, and what says so."""
    found = json.loads(config.read_bytes()) if config.is_file() else {}
    for section in (found, found.get("text_config") or {}):  # models of text and pictures have the second
        for key in _LIMITS:
            if isinstance(section.get(key), int):
                return section[key], f"the model's {_CONFIG}"
    if named := _NAMED.search(name):
        return int(named[1]) * 1024, "the model's name"
    return None, ""


def _fetch(models: Any, model: Any, names: Sequence[str], folder: Path) -> str:
    """Get what of the files there is; returns why one is missing, in a few words."""
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import AzureError

    if not names:
        return ""
    try:
        more = _TEMPLATE if _TOKENIZER in names else ()
        with opened(models, model) as (storage, prefix):
            found = nearest(
                [blob.name for blob in storage.list_blobs(name_starts_with=prefix)], [*names, *more]
            )
            for name, blob in found.items():
                content = storage.download_blob(blob).readall()
                _check(name, content)
                _keep(folder / name, content)
    except (AzureError, MlException, OSError, KeyError, ValueError) as error:
        if is_unauthorised(error):  # by an expired token: the stage signs in again
            raise
        return f"the model's files cannot be read ({explain(error).what})"
    missing = [name for name in names if name not in found]
    return f"the model has no {' and no '.join(missing)}" if missing else ""


@contextmanager
def opened(models: Any, model: Any) -> Iterator[tuple[Any, str]]:
    """The storage behind a registry's or a workspace's model, and what its blobs' names begin with there."""
    from azure.storage.blob import ContainerClient

    if "/registries/" not in str(model.id):
        yield private.workspace_files(models, model)
        return
    files = private.registry_files(models, model)
    with ContainerClient.from_container_url(files.container_url, **_STORAGE) as storage:
        yield storage, files.prefix


def _check(name: str, content: bytes) -> None:
    """Raise ValueError for a file that is not what its name says."""
    if name == _CONFIG:
        if not isinstance(json.loads(content), dict):
            raise ValueError(f"its {name} holds no object")
        return
    if name != _TOKENIZER:
        return
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises bare Exception, whatever is wrong
        raise ValueError(f"its {name} cannot be loaded: {error}") from error


def _keep(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{uuid4().hex}")
    try:
        draft.write_bytes(content)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)

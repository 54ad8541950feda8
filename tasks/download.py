"""A model's files on this machine: its merged weights or its adapter, each file checked, and how it loads."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure
from tasks.base_model import BASE_MODEL
from tasks.data.model_files import opened
from tasks.model_version import REGISTERED

SUMS = "SHA256SUMS"
_ADAPTER, _WEIGHTS, _MLMODEL = "adapter_config.json", "config.json", "MLmodel"
_SUFFIXES = (".safetensors", ".bin")
_NAMED_BASE = "base_model_name_or_path"


class Part(StrEnum):
    """What of a model is wanted."""

    WHOLE = "whole"  # the MLflow model, with all that is in it
    MERGED = "merged"  # the weights that are served, in Hugging Face's format
    ADAPTER = "adapter"  # the low-rank weights alone, to be added to the base model's


class Wanted(BaseModel):
    """A part of a model NAME or NAME:VERSION, or of a registry's by its id, for a folder.

    `base` is where the adapter is to find the base model: a folder, or its name on a hub.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    part: Part
    folder: Path
    base: str | None = None


class Downloaded(BaseModel):
    """A part of a model in a folder: its files by their SHA-256, their bytes, and the lines that load it."""

    model_config = ConfigDict(frozen=True)

    model: str
    part: Part
    folder: Path
    files: dict[str, str]
    bytes: int
    lines: tuple[str, str, str]


def download(session: Session, wanted: Wanted, tell: Callable[[str, int], None]) -> Downloaded:
    """Get the part, of the newest version where none is named.

    A file that is there already and has the checksum it got then is kept. `tell` hears the path and the bytes
    of each file before it is read. Raises Failure where there is no such model, or no such part in it, or a
    file does not arrive as it was stored.
    """
    models, model = _find(session, wanted.model)
    known, files, size = _known(wanted.folder), dict[str, str](), 0
    with opened(models, model) as (storage, prefix):
        blobs = {blob.name: blob for blob in storage.list_blobs(name_starts_with=prefix) if blob.size}
        for path, name in sorted(chosen(blobs, wanted.part, f"{model.name}:{model.version}").items()):
            tell(path, blobs[name].size)
            files[path] = _get(storage, blobs[name], wanted.folder / path, known.get(path))
            size += blobs[name].size
    base = wanted.base or _base_name(model)
    if wanted.part is Part.ADAPTER:
        files[_ADAPTER] = _name_base(wanted.folder / _ADAPTER, base)
    (wanted.folder / SUMS).write_text("".join(f"{digest}  {path}\n" for path, digest in files.items()))
    return Downloaded(
        model=f"{model.name}:{model.version}",
        part=wanted.part,
        folder=wanted.folder,
        files=files,
        bytes=size,
        lines=lines(wanted, base),
    )


def _find(session: Session, name: str) -> tuple[Any, Any]:
    """The SDK's operations of where the model is, and the model."""
    registered = REGISTERED.search(name)
    registry = registered[1] if registered else None
    base, _, version = (registered[2], "", registered[3]) if registered else name.partition(":")
    models = clients.assets(session, registry).models
    try:
        return models, models.get(base, version=version) if version else models.get(base, label="latest")
    except Exception as error:
        if not is_missing(error):
            raise
        raise Failure(
            f"There is no model {name!r} in {registry or session.workspace}.",
            "Name it as the run's summary does, such as NAME:1, or a registry's by its azureml:// id.",
            str(error),
            cause=Cause.NOT_FOUND,
        ) from error


def chosen(blobs: Mapping[str, Any], part: Part, model: str) -> dict[str, str]:
    """The blobs of the part by their paths in its folder."""
    mark = {Part.WHOLE: _MLMODEL, Part.MERGED: _WEIGHTS, Part.ADAPTER: _ADAPTER}[part]
    paths = [PurePosixPath(name) for name in blobs]
    # A model of Azure's has its configuration a second time, in a folder without weights.
    weighty = {path.parent for path in paths if path.suffix in _SUFFIXES} if part is Part.MERGED else None
    roots = sorted(
        (path.parent for path in paths if path.name == mark and (weighty is None or path.parent in weighty)),
        key=lambda root: (len(root.parts), str(root)),
    )
    if not roots:
        raise Failure(
            f"The model {model} has no {part}: no {mark} is among its files.",
            "Azure's converter merges an adapter into the weights and leaves it with the job: look in the "
            "job's output pytorch_model_folder."
            if part is Part.ADAPTER
            else "Download the whole of it, without --merged and --adapter.",
            cause=Cause.NOT_FOUND,
        )
    # A model of Azure's keeps its tokenizer in a folder beside its weights, which loads from one alone.
    root = roots[0]
    beside = [root.parent / "tokenizer"] if part is Part.MERGED else []
    return {
        str(PurePosixPath(name).relative_to(folder)): name
        for folder in (*beside, root)
        for name in blobs
        if PurePosixPath(name).is_relative_to(folder)
    }


def _get(storage: Any, blob: Any, file: Path, known: str | None) -> str:
    """Bring the blob to the file; its SHA-256."""
    if known and file.is_file() and file.stat().st_size == blob.size and _sum(_chunks(file)) == known:
        return known
    file.parent.mkdir(parents=True, exist_ok=True)
    draft, sha, md5 = file.with_name(f".{uuid4().hex}"), hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with draft.open("wb") as out:
            for chunk in storage.download_blob(blob.name).chunks():
                out.write(chunk)
                sha.update(chunk)
                md5.update(chunk)
        stored = blob.content_settings.content_md5
        if draft.stat().st_size != blob.size or (stored and bytes(stored) != md5.digest()):
            raise Failure(
                f"{file.name} has not arrived as it was stored.",
                "Download it again.",
                f"stored: {blob.size} bytes, MD5 {base64.b64encode(stored or b'').decode()}",
                retryable=True,
                cause=Cause.UNREACHABLE,
            )
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return sha.hexdigest()


def _known(folder: Path) -> dict[str, str]:
    """The checksums of an earlier download into the folder."""
    file = folder / SUMS
    lines = file.read_text().splitlines() if file.is_file() else []
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(2**20):
            yield chunk


def _sum(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _base_name(model: Any) -> str:
    """The base model's name, by the tag that registration has set."""
    tag = str((model.tags or {}).get(BASE_MODEL, ""))
    found = REGISTERED.search(tag)
    return found[2] if found else tag or "BASE"


def _name_base(config: Path, base: str) -> str:
    """Let the adapter name its base model, and not a path of the machine that trained it; its new SHA-256."""
    found = json.loads(config.read_text())
    config.write_text(json.dumps({**found, _NAMED_BASE: base}, indent=1) + "\n")
    return _sum(_chunks(config))


def lines(wanted: Wanted, base: str) -> tuple[str, str, str]:
    """Three lines of Python that load the part."""
    place = json.dumps(str(wanted.folder))
    if wanted.part is Part.WHOLE:
        return (
            "import mlflow.pyfunc",
            f"model = mlflow.pyfunc.load_model({place})",
            "print(model.metadata.signature)",
        )
    if wanted.part is Part.ADAPTER:
        return (
            "import peft, transformers",
            f"base = transformers.AutoModelForCausalLM.from_pretrained({json.dumps(base)})",
            f"model = peft.PeftModel.from_pretrained(base, {place})",
        )
    return (
        "import transformers",
        f"model = transformers.AutoModelForCausalLM.from_pretrained({place})",
        f"tokenizer = transformers.AutoTokenizer.from_pretrained({place})",
    )

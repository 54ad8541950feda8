"""Data that lies elsewhere, at public addresses: mapped to folders here, or fetched where that is allowed.

Nothing leaves this machine unless the one who starts the workspace allows it: `--external fetch`, or a file
of rules, each with an address and where what begins with it is found (`- {from: https://…/, to: ./folder}`,
or `to: fetch`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import yaml

from azureml_local.errors import BadRequest, NotFound, ServiceError

NONE, FETCH = "none", "fetch"

_SCHEMES = ("http://", "https://", "wasb://", "wasbs://", "abfs://", "abfss://")
_IN_ACCOUNT = re.compile(
    r"(?:wasbs?|abfss?)://(?P<container>[^@/]+)@(?P<account>[\w-]+)\.(?:blob|dfs)(?P<suffix>\.[\w.-]+)/*(?P<path>.*)"
)
_TIMEOUT = 60.0  # seconds without a byte


class BadRules(Exception):
    """The rules cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Rule:
    """What begins with `source` is found below `folder`, or fetched where there is none."""

    source: str
    folder: Path | None


def is_external(address: str) -> bool:
    """Whether it is an address of data that a workspace may have to fetch."""
    return address.startswith(_SCHEMES)


def read(which: str) -> tuple[Rule, ...]:
    """The rules of `none`, of `fetch`, or of a YAML file; raises BadRules."""
    if which == NONE:
        return ()
    if which == FETCH:
        return tuple(Rule(scheme, None) for scheme in _SCHEMES)
    file = Path(which).expanduser()
    try:
        listed = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise BadRules(f"There is no file {file} for --external; or choose {NONE} or {FETCH}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadRules(f"The rules in {file} cannot be read: {error}.") from error
    if not isinstance(listed, list):
        raise BadRules(f"{file} must hold a list of rules such as {_EXAMPLE}.")
    return tuple(_rule(file, each) for each in listed)


class ExternalData:
    """Finds external data by the rules, longest first; what was fetched is kept in `cache`."""

    def __init__(self, rules: tuple[Rule, ...], cache: Path) -> None:
        self._rules = sorted(rules, key=lambda rule: -len(rule.source))
        self._cache = cache

    def check(self, address: str) -> None:
        """Raise BadRequest when no rule says where the data is."""
        self._rule(address)

    def resolve(self, address: str) -> Path:
        """The file or folder; fetched first where the rule says so.

        Raises BadRequest without a rule, NotFound where there is nothing, else ServiceError.
        """
        rule, plain = self._rule(address)
        if rule.folder is None:
            return self._fetched(plain)
        rest = unquote(urlsplit(plain.removeprefix(rule.source)).path).strip("/")
        path = Path(os.path.normpath(rule.folder / rest))
        if not path.is_relative_to(rule.folder) or not path.exists():
            raise NotFound(f"The rule for {rule.source} leads to {path}, where there is nothing.")
        return path

    def _rule(self, address: str) -> tuple[Rule, str]:
        """The rule, and the address in the form that it is written in."""
        for plain in (address, _https(address)):
            for rule in self._rules:
                if plain.startswith(rule.source):
                    return rule, plain
        source = address.rpartition("/")[0] + "/"
        raise BadRequest(
            f"{address} is not in this workspace, and nothing is fetched from elsewhere. Start the workspace "
            f"with --external {FETCH}, or with --external FILE and this rule in the file: "
            f"- {{from: '{source}', to: ./folder}}",
            code="ExternalDataNotMapped",
        )

    def _fetched(self, address: str) -> Path:
        url = _https(address)
        kept = self._cache / hashlib.sha256(url.encode()).hexdigest()[:32]
        name = PurePosixPath(unquote(urlsplit(url).path)).name or "data"
        if not kept.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            fresh = Path(mkdtemp(dir=self._cache))
            try:
                _fetch(url, fresh / name)
                fresh.replace(kept)
            except OSError as error:
                if not kept.exists():  # else another step was quicker
                    raise ServiceError(500, "SystemError", f"{url} cannot be kept: {error}.") from error
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return kept / name


def _fetch(url: str, target: Path) -> None:
    """Write the file there, or all files below a folder of a storage account."""
    import httpx  # late: most workspaces never fetch

    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            if _download(client, url, target):
                return
            parts = urlsplit(url)
            container, _, prefix = unquote(parts.path).strip("/").partition("/")
            names = list(_listed(client, f"{parts.scheme}://{parts.netloc}/{container}", prefix.rstrip("/")))
            if not names:
                raise NotFound(f"There is no data at {url}.", code="DataNotFound")
            for name in names:
                file = target / PurePosixPath(name).relative_to(prefix.rstrip("/") or ".")
                if not _download(client, f"{parts.scheme}://{parts.netloc}/{container}/{quote(name)}", file):
                    raise NotFound(f"There is no data at {url} any more: {name} is gone.")
    except httpx.HTTPError as error:
        raise ServiceError(502, "DataUnreachable", f"{url} cannot be fetched: {error}.") from error


def _download(client: Any, url: str, target: Path) -> bool:
    """Whether there is a file at the address; it is written to `target`."""
    with client.stream("GET", url) as answer:
        if answer.status_code in (
            404,
            409,
        ):  # 409: public access is not permitted, as for a missing container
            return False
        answer.raise_for_status()
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)
    return True


def _listed(client: Any, container: str, prefix: str) -> Iterator[str]:
    """The names of a public container's blobs in that folder."""
    marker = ""
    while True:
        query = {
            "restype": "container",
            "comp": "list",
            "prefix": f"{prefix}/" if prefix else "",
            "marker": marker,
        }
        answer = client.get(container, params=query)
        try:
            found = ElementTree.fromstring(answer.content if answer.status_code == 200 else b"<R/>")
        except ElementTree.ParseError:  # no storage account's
            return
        yield from (name.text for name in found.iterfind("Blobs/Blob/Name") if name.text)
        marker = found.findtext("NextMarker") or ""
        if not marker:
            return


def _https(address: str) -> str:
    """The blob that an address of Hadoop's schemes means; others as they are."""
    match = _IN_ACCOUNT.fullmatch(address)
    if match is None:
        return address
    return f"https://{match['account']}.blob{match['suffix']}/{match['container']}/{match['path']}"


_EXAMPLE = "- {from: 'https://example.org/data/', to: ./folder}"


def _rule(file: Path, given: Any) -> Rule:
    if not isinstance(given, dict) or given.keys() != {"from", "to"}:
        raise BadRules(f"{file}: every rule has `from` and `to`, such as {_EXAMPLE}.")
    source, to = str(given["from"]), str(given["to"])
    if not is_external(source):
        raise BadRules(f"{file}: {source!r} does not begin with one of {', '.join(_SCHEMES)}.")
    if to == FETCH:
        return Rule(source, None)
    folder = (file.parent / Path(to).expanduser()).resolve()
    if not folder.exists():
        raise BadRules(f"{file}: {source} leads to {folder}, which does not exist.")
    return Rule(source, folder)

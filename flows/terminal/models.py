"""`finetune models`: the registered versions, what they reached, where they come from, and what serves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.reporting import Where, quiet, reporting

if TYPE_CHECKING:
    from tasks.azure.clients import Session
    from tasks.promotion import Version

_COLUMNS = ("model", "promoted", "gate", "eval loss", "ROUGE-L", "base model", "data", "job", "run", "serves")


def models(
    name: Annotated[str | None, typer.Argument(help="Only versions of this model.")] = None,
    where: Annotated[Where, typer.Option(help="Which workspace to ask.")] = Where.LOCAL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the versions as JSON on stdout.")] = False,
) -> None:
    """List the models that runs have registered: metrics, gate, lineage, and what is serving."""
    with reporting("nothing was changed"):
        from flows.terminal import prefect_server

        prefect_server.configure()
        found = _asked(name, where)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        show(found)


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """The versions as a table on stdout."""
    from flows.terminal.table import show as show_table

    rows = [[str(each[column]) for column in _COLUMNS] for each in found]
    show_table(_COLUMNS, rows, f"{len(found)} version{'' if len(found) == 1 else 's'}")


def row(version: Version, serving: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """A version by its tags; `serving` are deployments, each with the id of its model."""
    tags = version.tags
    end = f"/models/{version.name}/versions/{version.version}".casefold()
    base = tags.get("finetune.base-model", "").partition("/models/")[2].replace("/versions/", ":")
    return {
        "model": f"{version.name}:{version.version}",
        "promoted": version.promoted.isoformat(timespec="minutes") if version.promoted else "",
        "gate": f"{version.gate} {tags.get('finetune.gate-reasons', '')}".strip(),
        "eval loss": tags.get("finetune.eval-loss", ""),
        "ROUGE-L": tags.get("finetune.rouge-l", ""),
        "base model": base or tags.get("finetune.base-model", ""),
        "data": tags.get("finetune.data", ""),
        "job": tags.get("finetune.job", ""),
        "run": version.run or "",
        "serves": ", ".join(name for name, model in serving if model.casefold().endswith(end)),
    }


def _asked(name: str | None, where: Where) -> list[dict[str, Any]]:
    from flows.run.workspace import opened

    with quiet("finetune"), opened(where.value):
        from tasks import promotion
        from tasks.sign_in import Workspace, sign_in

        session = sign_in.fn(Workspace(where=where.value))
        serving = list(_serving(session))
        return [row(version, serving) for version in promotion.versions(session, name)]


def _serving(session: Session) -> Iterator[tuple[str, str]]:
    """Each deployment with the id of its model."""
    from tasks.azure import listing

    for endpoint in listing.endpoints(session):
        for deployment in listing.deployments(session, endpoint.name):
            yield f"{endpoint.name}/{deployment.name}", str(deployment.properties.get("model") or "")

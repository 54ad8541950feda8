"""`finetune data`: a look at the data that changes nothing and costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from flows.terminal.reporting import quiet, reporting

if TYPE_CHECKING:
    from rich.console import Console

    from flows.run.config import Finetune
    from flows.run.training_cost import TrainingCost
    from tasks.data.look import Look, SplitLook
    from tasks.data.window import Window

_BAR = 40  # characters of the longest bar
_BESIDE = 31  # characters beside it
_SHOWN = 2000  # characters of a conversation


def data(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|SOURCE", help="A recipe, or the data itself: a path, an address, a hub dataset."
        ),
    ] = "local",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set a field of the recipe, such as data.format=turns."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Conversations to show as the model reads them.")] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that was found as JSON on stdout.")
    ] = False,
) -> None:
    """Look at the data of a recipe, or at any data, as a run would read it; keeps and costs nothing."""
    with reporting("nothing was kept"):
        config = _config(what, changes or ())
        model = _model(config, what)
        found = _looked(config, model, rows)
        cost = _cost(config, found, model)
    if as_json:
        body = found.model_dump(mode="json") | {
            "cost": cost.model_dump() if cost else None,
            "notes": model.notes,
        }
        typer.echo(json.dumps(body, indent=2, ensure_ascii=False))
    else:
        _show(found, cost, model.notes)


def _looked(config: Finetune, model: _Model, rows: int) -> Look:
    """The look, in the recipe's workspace where the data is in it."""
    from tasks.data import datastore
    from tasks.data.look import look

    if not datastore.is_meant(config.data.dataset):
        return look(config.data, model.window, config.base.name, rows)
    from flows.run.workspace import opened
    from tasks.sign_in import sign_in

    with opened(config.workspace.where, config.workspace.credentials):
        data = datastore.addressed(config.data, sign_in.fn(config.workspace))
        return look(data, model.window, config.base.name, rows)


class _Model(NamedTuple):
    """What is known of the base model and its machine without a run: the rest stays at its defaults."""

    window: Window
    notes: list[str]
    gpus: int = 0
    hourly: float | None = None


def _config(what: str, changes: Any) -> Finetune:
    """A recipe by its name or file, else the default recipe with this data."""
    from flows.run import config

    if what in config.names() or what.endswith((".yaml", ".yml")):
        return config.load(what, changes)
    from tasks.data.resolve import is_path

    body: dict[str, Any] = {"data": {"dataset": what}}
    if not is_path(what) and what != "sample" and "/" not in what:
        config.find(what)  # neither a path nor a dataset's name: raises, and names the recipes
    return config.parse(config.apply(body, changes), "data")


def _model(config: Finetune, what: str) -> _Model:
    """Of a recipe, the model's window and template and the cluster's price, as far as they can be read."""
    from tasks.data.window import Window

    if config.recipe == "data":
        return _Model(Window(), ["Name a recipe to see the model's own template, its tokens and its price."])
    from tasks.azure.errors import explain

    try:
        with quiet("prefect"):
            return _asked(config)
    except Exception as error:  # noqa: BLE001 - a look needs none of it, whatever is wrong
        return _Model(Window(), [f"The model and the price are not known: {explain(error)}"])


def _asked(config: Finetune) -> _Model:
    """What the workspace says, which is read and not changed."""
    from flows.run.workspace import opened
    from flows.terminal import prefect_server

    prefect_server.configure()
    with opened(config.workspace.where, config.workspace.credentials):
        from tasks.azure import sizes
        from tasks.base_model import find_model
        from tasks.sign_in import sign_in

        session = sign_in.fn(config.workspace)
        base = find_model.fn(session, config.base)
        size = sizes.find(session, config.compute.size)
    price = size.hourly(config.compute.tier) * config.compute.nodes or None
    return _Model(base.window, list(base.warnings), size.gpus * config.compute.nodes, price)


def _cost(config: Finetune, found: Look, model: _Model) -> TrainingCost | None:
    """The training's estimate; None where the model or its machine is not known."""
    from flows.run.training_cost import estimate, parameters_of
    from tasks.data.window import tokenizer_file
    from tasks.job.parameters import PROJECT

    file = tokenizer_file(model.window.tokenizer) if model.window.tokenizer else None
    parameters = parameters_of(file.with_name("config.json")) if file else None
    if not parameters:
        return None
    epochs = config.parameters.training.num_train_epochs or int(PROJECT["num_train_epochs"])
    tokens = found.training_tokens * epochs
    return estimate(tokens, parameters, config.compute.size, model.gpus, model.hourly)


def _show(found: Look, cost: TrainingCost | None, notes: list[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    at = f" at {found.revision}" if found.revision else ""
    console.print(f"{found.source}{at}", style="bold")
    console.print(f"{found.bytes_read / 1e6:,.1f} MB read; nothing was kept.")
    for split in found.splits:
        _show_split(console, split)
    for what, names in (("Splits", found.unused_splits), ("Files", found.unused_files)):
        if names:
            console.print(f"\n{what} that are not used: {', '.join(names)}")
    if found.fails:
        console.print(f"\nA run would fail: {found.fails}.", style="bold red")
    window = found.window
    console.print(
        f"\nWindow: {f'{window.limit:,} tokens, by {window.source}' if window.limit else 'not known'}"
    )
    console.print(f"Template: {found.template}")
    uploaded = sum(split.bytes for split in found.splits)
    console.print(f"To upload: {uploaded / 1e6:,.2f} MB")
    if cost:
        dollars = f"${cost.dollars:,.2f}" if cost.dollars is not None else "an unpublished price"
        console.print(
            f"Training: about {cost.tokens:,} tokens in {cost.hours:,.2g} h on {cost.size}, {dollars} "
            "(an estimate of the step that trains, good to a factor of two)"
        )
    for note in notes:
        console.print(f"Note: {note}")


def _show_split(console: Console, split: SplitLook) -> None:
    console.print(f"\n{split.name}", style="bold")
    estimated = ", estimated" if split.estimated else ""
    lengths = split.lengths
    mean = lengths.tokens / split.rows if split.rows else 0
    facts = [
        ("format", split.recognised),
        ("rows", f"{split.rows:,}"),
        ("taken", split.taken),
        ("messages", ", ".join(f"{role} {count:,}" for role, count in split.roles.items())),
        ("turns", ", ".join(f"{count:,} of {turns}" for turns, count in split.lengths.turns.items())),
        (
            f"tokens{estimated}",
            f"{lengths.tokens:,}, mean {mean:,.0f}, longest {lengths.longest:,}",
        ),
        ("duplicates", f"{split.duplicates:,}"),
        ("leaks", f"{split.leaks:,}"),
    ]
    for name, value in facts:
        console.print(f"  {name:18}{value}")
    for title, counts in (
        ("rejected", split.rejected),
        ("warnings", split.warnings),
        ("not used", split.unused),
    ):
        _show_counts(console, title, counts)
    for found in split.personal:
        of = f"{found.conversations:,} conversation{'s' * (found.conversations != 1)}"
        shown = f"{found.times:,} in {of}: {', '.join(found.examples)}"
        console.print(f"  {found.kind:18}{shown}")
    most = max(split.lengths.buckets.values(), default=1)
    longest = max(1, min(_BAR, console.width - _BESIDE))
    for upper, count in split.lengths.buckets.items():
        console.print(f"  ≤ {upper:>8,} tokens  {'█' * max(1, round(longest * count / most))} {count:,}")
    for text in split.examples:
        console.print("  " + "─" * _BAR, style="dim")
        console.print(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)")


def _show_counts(console: Console, title: str, counts: Mapping[str, int | None]) -> None:
    for what, count in counts.items():
        console.print(f"  {title:18}{what}{'' if count is None else f': {count:,}'}")

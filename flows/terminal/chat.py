"""`finetune chat`: talk to a model that an endpoint serves, at the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from tasks.chat import Partner, Wish
    from tasks.invoke import Message

_NEW = "/new"
_HELP = f"An empty line or Ctrl-D ends, {_NEW} begins a new conversation, Ctrl-C stops an answer."


def chat(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|ENDPOINT]",
            help="An endpoint, or a model NAME[:VERSION] that one serves; none where only one is up.",
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="DEPLOYMENT", help="Ask this deployment of the endpoint as well, such as base."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="How much chance has in the answers.")
    ] = 0.6,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 400,
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
) -> None:
    """Talk to a served model; its answers come as they are made."""
    out = sys.stdout
    with reporting("the conversation is not kept"):
        from flows.run.workspace import opened

        place = workspace(where, recipe, name, credentials)
        with opened(place.where, place.credentials):
            from tasks.chat import Wish, endpoint_of, partners
            from tasks.sign_in import sign_in

            session = sign_in.fn(place)
            endpoint = endpoint_of(session, what)
            talks = [_Talk(each, beside is not None) for each in partners(session, endpoint, beside)]
            typer.echo(greeting(endpoint, [each.partner.deployment for each in talks]), err=True)
            with contextlib.redirect_stdout(out):
                _talk(talks, Wish(temperature=temperature, max_tokens=max_tokens))


def greeting(endpoint: str, deployments: list[str]) -> str:
    """Who answers, and how it is ended."""
    return f"{endpoint}: {' and '.join(deployments)}. {_HELP}"


class _Talk:
    """A conversation with one of those who are asked; each has the history of its own answers."""

    def __init__(self, partner: Partner, named: bool) -> None:
        self.partner = partner
        self._named = named
        self._messages: list[Message] = []

    def begin(self) -> None:
        self._messages.clear()

    def ask(self, question: str, wish: Wish) -> None:
        """Print the answer as it comes; the question of one that was not answered is forgotten."""
        from tasks.azure.failure import Failure
        from tasks.chat import answer
        from tasks.invoke import Message

        asked = [*self._messages, Message(role="user", content=question)]
        if self._named:
            typer.echo(f"{self.partner.deployment}: ", nl=False)
        said = []
        try:
            for piece in answer(self.partner, asked, wish):
                said.append(piece)
                typer.echo(piece, nl=False)
        except KeyboardInterrupt:
            typer.echo(" …", nl=False)
        except Failure as failure:
            typer.echo(f"Error: {failure} ({_NEW} begins a new conversation.)", err=True)
            return
        finally:
            typer.echo()
        self._messages = [*asked, Message(role="assistant", content="".join(said))]


def _talk(talks: list[_Talk], wish: Wish) -> None:
    for question in _questions():
        for each in talks:
            if question == _NEW:
                each.begin()
            else:
                each.ask(question, wish)


def _questions() -> Iterator[str]:
    """What the person types, or the lines of a file; edited and recalled with the arrows at a terminal."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        import readline  # noqa: F401 - `input` uses it once it is there
    while True:
        try:
            line = (input("> ") if is_terminal else next(sys.stdin, "")).strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not line:
            return
        yield line

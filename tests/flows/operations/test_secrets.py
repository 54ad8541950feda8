"""Credentials are kept in a block and used, and no database, log, result or artifact shows them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr, ValidationError

from flows.run.workspace import opened
from tasks.azure import clients
from tasks.azure.credentials import AzureSignIn
from tasks.azure.failure import Cause
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.failures import fails
from tests.support.fork_server import ForkServer
from tests.support.login import TENANT, logging_in
from tests.support.prefect_server import PrefectServer
from tests.support.secrets import planted
from tests.support.tiny_recipe import RECIPE

pytestmark = pytest.mark.slow

SECRET = "Planted8Q~client7secret0which4nobody2may9see"
IDENTITY = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Done:
    """A run of the command line that has ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(fork_server: ForkServer, prefect_server: PrefectServer, tmp_path: Path) -> Run:
    """Runs `finetune run RECIPE` with these variables and changes."""

    def ended(recipe: Path, variables: dict[str, str], *changes: str) -> Done:
        out, err = (tmp_path / f"{recipe.stem}.{name}" for name in ("out", "err"))
        command = ["flows.terminal.cli", "run", str(recipe), "--json", *changes]
        with out.open("wb") as into, err.open("wb") as errors:
            own = prefect_server.environment | variables
            code = fork_server.start(command, own, out=into, err=errors).wait()
        return Done(code, out.read_text(), err.read_text())

    return ended


def test_a_service_principal_of_a_block_signs_in(
    environment: dict[str, str], server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = AzureSignIn(client_id=IDENTITY, tenant_id=TENANT, client_secret=SecretStr(SECRET))
    clients.forget()
    with logging_in(server, SECRET, tmp_path) as login:
        for name, value in login.environment.items():
            monkeypatch.setenv(name, value)
        with opened("azure", block):
            assert sign_in.fn(Workspace(where="azure")).workspace == "local"
    clients.forget()
    assert {(each["client_id"], each["client_secret"]) for each in login.requests} == {(IDENTITY, SECRET)}


def test_a_wrong_secret_is_one_line_that_does_not_say_it(
    environment: dict[str, str], server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = AzureSignIn(client_id=IDENTITY, tenant_id=TENANT, client_secret=SecretStr(SECRET))
    clients.forget()
    with logging_in(server, "another", tmp_path) as login:
        for name, value in login.environment.items():
            monkeypatch.setenv(name, value)
        with opened("azure", block), fails(Cause.SIGN_IN, "AZURE_CLIENT_SECRET") as error:
            sign_in.fn(Workspace(where="azure"))
    clients.forget()
    assert "The secret is wrong" in error.value.details
    assert SECRET not in str(error.value) + error.value.details


def test_credentials_themselves_are_no_parameters() -> None:
    with pytest.raises(ValidationError, match="must not be parameters"):
        Workspace.model_validate(
            {"where": "azure", "credentials": {"client_id": IDENTITY, "client_secret": SECRET}}
        )


def test_nothing_secret_is_left_behind(
    run: Run, prefect_server: PrefectServer, server: LocalServer, config: MakeConfig, tmp_path: Path
) -> None:
    with temporary_settings({PREFECT_API_URL: f"{prefect_server.url}/api"}):
        AzureSignIn(client_id=IDENTITY, tenant_id=TENANT, client_secret=SecretStr(SECRET)).save("principal")
        AzureSignIn(client_id=IDENTITY).save("identity")
    addresses = {name: server.environment[name] for name in server.environment}
    planted = {"AZURE_CLIENT_SECRET": f"{SECRET}-environment", "FINETUNE_WEBHOOK": f"https://{SECRET}/hook"}

    recipe = write_recipe(tmp_path / "identity.yaml", "identity")
    done = run(recipe, addresses | planted)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    with logging_in(server, "another", tmp_path) as login:
        wrong = write_recipe(tmp_path / "principal.yaml", "principal")
        refused = run(wrong, addresses | planted | login.environment)
    assert refused.code == 1
    assert login.requests[0]["client_secret"] == SECRET  # it was used

    secrets = {SECRET, *json.loads((server.state / "secrets.json").read_text()).values()}
    said = [done.out, done.err, refused.out, refused.err]
    everything = {
        **{path: path.read_bytes() for path in prefect_server.home.rglob("*") if path.is_file()},
        **{Path(f"output {index}"): text.encode() for index, text in enumerate(said)},
    }
    assert places(report["fingerprint"], everything), "the search finds nothing at all"
    assert places(f'"client_id": "{IDENTITY}"', everything), "the block is not in the database"
    for secret in secrets:
        assert places(secret, everything) == []
    assert places("eyJhbGciOi", everything) == []  # how every token begins
    signed = re.compile(rb"sig=[\w%-]{20,}")  # an address with a signature opens a blob to everybody
    assert [place for place, content in everything.items() if signed.search(content)] == []


def test_no_planted_secret_gets_past_the_filter(
    run: Run,
    prefect_server: PrefectServer,
    server: LocalServer,
    let_fail: LetFail,
    config: MakeConfig,
    tmp_path: Path,
) -> None:
    """In every form, from a job's log and from the service's own words: errors, tracebacks and all."""
    secret = "kTm4Wq8Zr2Yp6Lx9"
    said = tmp_path / "said"
    said.write_text(f"before the first\n{planted(secret)}\nafter the last")
    recipe = write_recipe(tmp_path / "planted.yaml", None)
    failing = ("--set=parameters.training.learning_rate=2", f"--set=parameters.more.says={said}")
    variables = server.environment | {"FINETUNE_TRACEBACK": "1", "PREFECT_LOGGING_LEVEL": "DEBUG"}
    trained = run(recipe, variables, *failing)
    let_fail(
        {"kind": "status", "status": 400, "path": "/**/jobs", "message": planted(secret), "count": None},
        {"kind": "status", "status": 400, "path": "/**/jobs/*", "message": planted(secret), "count": None},
    )
    refused = run(recipe, variables, "--set=fresh=true")

    outputs = [trained.out, trained.err, refused.out, refused.err]
    everything = {
        **{path: path.read_bytes() for path in prefect_server.home.rglob("*") if path.is_file()},
        **{Path(f"output {index}"): text.encode() for index, text in enumerate(outputs)},
    }
    assert "The step" in trained.err
    assert "Traceback" in trained.err
    assert "AZURE_CLIENT_SECRET=***" in refused.err
    assert places("before the first", everything), "the job's log is nowhere"
    assert places("after the last", everything), "the job's log is cut off"
    assert places(secret, everything) == [], [around(secret, each) for each in everything.values()]


def around(text: str, content: bytes) -> list[bytes]:
    """What stands before the text, for whoever has to find out how it got there."""
    return [
        content[max(found.start() - 200, 0) : found.end()] for found in re.finditer(text.encode(), content)
    ][:3]


def write_recipe(path: Path, block: str | None) -> Path:
    """The tiny recipe for the workspace of the environment, signed in to by a block if one is named."""
    body: dict[str, Any] = yaml.safe_load(RECIPE.read_text())
    reference = {"block_document_slug": f"finetune-azure-sign-in/{block}"}
    body["workspace"] = {"where": "azure"} | ({"credentials": {"$ref": reference}} if block else {})
    body["data"]["directory"] = str(path.parent / "data")
    path.write_text(yaml.safe_dump(body))
    return path


def places(text: str, everything: dict[Path, bytes]) -> list[Path]:
    """Where the text occurs, in clear or within what is encoded in base 64."""
    forms = [text.encode()]
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text.encode())
        forms.append(encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4])
    return [place for place, content in everything.items() if any(form in content for form in forms)]

"""Signing in: a token that works, a workspace that is there, and one line for whatever is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.azure import clients
from tasks.azure.failure import Cause
from tasks.sign_in import Workspace, is_named, sign_in
from tests.conftest import LetFail
from tests.support.failures import fails

NAMES = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
IN_AZURE = Workspace(where="azure")


@pytest.fixture(autouse=True)
def signed_out() -> Iterator[None]:
    """No credential or client of another test, nor one for another test."""
    clients.forget()
    yield
    clients.forget()


@pytest.fixture
def nameless(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment and a directory that do not say which workspace; returns what they would say."""
    for name in NAMES:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return {name: environment[name] for name in NAMES}


def config_json(names: dict[str, str]) -> str:
    subscription, group, workspace = (names[name] for name in NAMES)
    return json.dumps({"subscription_id": subscription, "resource_group": group, "workspace_name": workspace})


def test_the_environment_names_the_workspace(environment: dict[str, str]) -> None:
    session = sign_in.fn(Workspace())
    assert session.workspace_id.endswith(
        "/resourceGroups/local/providers/Microsoft.MachineLearningServices/workspaces/local"
    )
    assert session.location == "local"
    assert session.tracking_uri.startswith("azureml://localhost:")


@pytest.mark.parametrize("place", ["config.json", ".azureml/config.json", "aml_config/config.json"])
def test_config_json_is_found_above(
    nameless: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file, below = tmp_path / place, tmp_path / "a" / "b"
    file.parent.mkdir(exist_ok=True)
    file.write_text(config_json(nameless))
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert sign_in.fn(IN_AZURE).workspace == "local"


def test_what_is_set_wins_over_the_file(nameless: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(config_json(nameless))
    wanted = Workspace(where="azure", config=str(tmp_path / "mine.json"), name="elsewhere")
    with fails(Cause.NOT_FOUND, "'local'", "'elsewhere'"):
        sign_in.fn(wanted)


def test_without_names_or_config_json_it_says_what_is_missing_and_how(nameless: dict[str, str]) -> None:
    with fails(Cause.CONFIGURATION, *NAMES, "config.json", "recipe"):
        sign_in.fn(IN_AZURE)


def test_a_config_json_that_is_not_there_is_named(nameless: dict[str, str]) -> None:
    with fails(Cause.CONFIGURATION, "nowhere.json", "Download it"):
        sign_in.fn(Workspace(where="azure", config="nowhere.json"))


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_config_json_that_is_none_is_named(nameless: dict[str, str], tmp_path: Path, text: str) -> None:
    (tmp_path / ".azureml").mkdir()
    (tmp_path / ".azureml" / "config.json").write_text(text)
    with fails(Cause.CONFIGURATION, "config.json", "Download it again"):
        sign_in.fn(IN_AZURE)


def test_a_byte_order_mark_is_no_part_of_config_json(nameless: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config_json(nameless), encoding="utf-8-sig")
    assert sign_in.fn(IN_AZURE).workspace == "local"


def test_nulls_in_config_json_name_nothing(nameless: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".azureml").mkdir()
    names = {"subscription_id": None, "resource_group": None, "workspace_name": "local"}
    (tmp_path / ".azureml" / "config.json").write_text(json.dumps(names))
    with fails(Cause.CONFIGURATION, "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"):
        sign_in.fn(IN_AZURE)


@pytest.mark.parametrize("text", ['{"model_type": "llama"}', "[1]", "{", '{"workspace_name": null}'])
def test_another_programs_config_json_names_no_workspace(
    nameless: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    assert not is_named(IN_AZURE)
    (tmp_path / ".azureml").mkdir()
    (tmp_path / ".azureml" / "config.json").write_text(config_json(nameless))
    below = tmp_path / "model"
    below.mkdir()
    (below / "config.json").write_text(text)
    monkeypatch.chdir(below)
    assert is_named(IN_AZURE)
    assert sign_in.fn(IN_AZURE).workspace == "local"


def test_a_wrong_subscription_or_group_is_no_missing_workspace(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "01234567-89ab-cdef-0123-456789abcdef"
    with fails(Cause.NOT_FOUND, f"subscription '{other}'", "az account list"):
        sign_in.fn(Workspace(where="azure", subscription_id=other))
    with fails(Cause.NOT_FOUND, "no resource group 'another'", "az group list"):
        sign_in.fn(Workspace(where="azure", resource_group="another"))


def test_without_a_sign_in_it_says_how_to_sign_in(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with fails(Cause.SIGN_IN, "az login", "AZURE_CLIENT_ID"):
        sign_in.fn(IN_AZURE)


def test_a_token_that_is_refused_says_how_to_sign_in(environment: dict[str, str], let_fail: LetFail) -> None:
    let_fail({"kind": "expired-token", "path": "workspaces/local", "count": None})
    with fails(Cause.SIGN_IN, "az login"):
        sign_in.fn(Workspace())


def test_missing_rights_name_the_role(environment: dict[str, str], let_fail: LetFail) -> None:
    rule = {"kind": "status", "path": "workspaces/local", "status": 403, "code": "AuthorizationFailed"}
    let_fail(rule)
    with fails(Cause.PERMISSION, "AzureML Data Scientist"):
        sign_in.fn(Workspace())


@pytest.mark.parametrize(
    ("asked", "terminal", "browser"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_browser_is_opened_only_when_asked_for_at_a_terminal(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, asked: bool, terminal: bool, browser: bool
) -> None:
    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    tried = [type(each).__name__ for each in clients.credential(asked).credentials]
    assert ("InteractiveBrowserCredential" in tried) == browser
    assert "AzureCliCredential" in tried


def test_a_local_workspace_takes_no_address() -> None:
    with pytest.raises(ValueError, match="name is for a workspace in Azure: set where to azure"):
        Workspace(name="mine")

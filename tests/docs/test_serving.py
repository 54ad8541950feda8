"""The pages about serving show what the program says."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.terminal.chat import greeting
from flows.terminal.download import folder_of, got, said
from tasks.download import Downloaded, Part, Wanted, lines
from tasks.use import Use
from tests.docs.documents import named


def test_the_lines_for_a_kept_endpoint_are_those_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    use = Use(
        endpoint="sample-completion-2059193868",
        address="https://localhost:39245/inference/sample-completion-2059193868/score",
        chats=True,
        authorities="/home/you/.local/share/azureml-local/tls/bundle.pem",
    )
    _, _, shown = named("endpoint").text.partition("\n")
    assert shown == use.text()


def test_on_azure_the_lines_name_the_workspace_and_trust_what_every_machine_does() -> None:
    use = Use(
        endpoint="mine",
        address="https://mine.eastus2.inference.ml.azure.com/score",
        place=("--workspace", "0123/group/name"),
        chats=True,
    )
    assert use.openai == "https://mine.eastus2.inference.ml.azure.com/v1"
    assert "finetune endpoint mine --key --workspace 0123/group/name" in use.key
    assert "--cacert" not in use.curl
    assert "verify" not in use.python
    own = use.model_copy(
        update={"address": "https://mine.eastus2.inference.ml.azure.com/v1/chat/completions"}
    )
    assert own.openai == use.openai


def test_a_conversation_begins_as_the_page_shows() -> None:
    said = greeting("sample-completion-2059193868", ["demo", "base"])
    assert named("chat").text.splitlines()[1] == said


def test_a_download_ends_as_the_page_shows() -> None:
    files = {"config.json": 704, "model.safetensors": 269_060_552}
    wanted = Wanted(
        model="SmolLM2-135M-Instruct-sample:1",
        part=Part.MERGED,
        folder=Path("SmolLM2-135M-Instruct-sample-1-merged"),
    )
    done = Downloaded(
        model=wanted.model,
        part=wanted.part,
        folder=folder_of(wanted.model, wanted.part),
        files=dict.fromkeys(files, ""),
        bytes=sum(files.values()),
        lines=lines(wanted, "any"),
    )
    _, _, shown = named("download").text.partition("\n")
    assert shown == "\n".join([*(got(path, size) for path, size in files.items()), said(done)])

"""The data card: what it says, that nothing in the data becomes markup, and that Prefect has it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from markdown_it import MarkdownIt
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run
from tokenizers import Tokenizer, models

from flows.artifacts import data_card, plots
from tasks.data import Data, Window, prepare_data
from tasks.data.prepare import prepare
from tasks.data.progress import KEY as PROGRESS_KEY
from tests.support.prefect_server import PrefectServer

EVIL = [
    "<script>alert(1)</script>",
    "![beacon](https://evil.example/x.png)",
    "[click](javascript:alert(1)) | a | b |",
    "line\n\n# heading\n\n| x |\n| --- |",
    "`code` **bold** &lt;b&gt; <img src=x onerror=alert(1)>",
]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Conversations whose texts are markup, and one row that is set aside with such a role."""
    for split in ("train_sft", "test_sft"):
        rows: list[Any] = [
            [{"role": "user", "content": f"{split} {number} {text}"}, {"role": "assistant", "content": text}]
            for number, text in enumerate(EVIL * 4)
        ]
        rows.append([{"role": "<script>|x|", "content": "x"}])
        lines = (json.dumps({"messages": row}) for row in rows)
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    return Data(
        dataset=str(tmp_path),
        directory=tmp_path / "prepared",
        train={"name": "train_sft", "take": "100%"},
        test={"name": "test_sft", "take": 10},
        quarantine_limit=10,
    )


def test_nothing_in_the_data_becomes_markup(data: Data) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(data_card.page(prepare(data)))
    for tag in ("<script", "<a ", "<code", "<strong", "<em", "<b>"):
        assert tag not in html
    (picture,) = re.findall("<img [^>]*", html)
    assert picture.startswith(f'<img src="{data_card.LENGTHS}"'), "the card's own"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.count("<h1>") == 1
    assert html.count("<table>") == 3  # the facts, the findings, the examples
    rows = html[html.index("The first conversations") :].split("<tr>")[1:]
    assert [row.count("<td>") + row.count("<th>") for row in rows] == [4] * (1 + data_card.EXAMPLES)


def test_the_card_says_what_was_taken_and_found(data: Data) -> None:
    found = prepare(data)
    card = data_card.page(found)
    assert "| rows | 20 | 10 |" in card
    assert "| rejected | 1 | 0 |" in card
    assert "tokens, estimated" in card
    assert str(found.train.quarantine).replace("_", "&#95;") in card
    assert "all 21 rows" in card


def test_the_card_says_what_is_estimated(data: Data, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    data = data.model_copy(update={"directory": elsewhere})
    unknown = data_card.page(prepare(data, window=Window(estimated="the model's files cannot be read")))
    assert "No row is too long" in unknown
    assert "Tokens are an estimate" in unknown
    assert "the model&#39;s files cannot be read" in unknown
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.save(str(elsewhere / "tokenizer.json"))
    window = Window(limit=4096, source="the model's config.json", tokenizer=str(elsewhere))
    found = prepare(data, window=window)
    counted = data_card.page(found)
    assert "A row may have 4,096 tokens, by the model&#39;s config.json." in counted
    assert "estimate" not in counted
    few = found.train.lengths.model_copy(update={"counted": 3})
    part = found.model_copy(update={"train": found.train.model_copy(update={"lengths": few})})
    assert "counted 3 of 20 and 10 of 10 rows" in data_card.page(part)


def test_long_texts_are_shortened() -> None:
    shown = data_card.literal("word " * 1000)
    assert shown.endswith("…")
    assert len(shown) <= 160


def test_the_picture_is_a_picture(data: Data) -> None:
    uri = plots.data_lengths(prepare(data))
    assert b64decode(uri.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


@pytest.mark.slow
def test_prefect_has_the_card_the_picture_and_the_progress(data: Data, prefect_server: PrefectServer) -> None:
    @flow(name="card")
    def card() -> UUID:
        data_card.publish(prepare_data(data))
        return UUID(str(flow_run.id))

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[card()]))
    with get_client(sync_client=True) as client:
        artifacts = {found.key: found for found in client.read_artifacts(artifact_filter=of_run)}
    shown = str(artifacts[data_card.KEY].data)
    assert shown.startswith("# ")
    assert "![Turns and lengths of the conversations](data:image/png;base64," in shown
    assert artifacts[PROGRESS_KEY].data == 100.0
    assert "20 and 10 rows" in str(artifacts[PROGRESS_KEY].description)

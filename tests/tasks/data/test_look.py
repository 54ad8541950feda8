"""A look at data: what it says, what it masks, and that nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.data.chat_template import ChatTemplate
from tasks.data.look import look
from tasks.data.personal import PersonalData, masked, noticed
from tasks.data.section import Data
from tasks.data.window import Window
from tests.tasks.data.conversations import write_lines
from tests.tasks.data.layouts import chats


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann.lee+x@mail.example.org, please", "e-mail addresses"),
        ("call +49 151 23456789 now", "telephone numbers"),
        ("call (555) 123-4567", "telephone numbers"),
        ("0044 20 7946 0958", "telephone numbers"),
        ("4111 1111 1111 1111", "card numbers"),
        ("5500-0055-5555-5559.", "card numbers"),
        ("378282246310005", "card numbers"),
        ("sk-abcdefghijklmnopqrstuvwx", "keys"),
        ("AKIAIOSFODNN7EXAMPLE", "keys"),
        ("https://x.blob.core.windows.net/c?sv=1&sig=aB3%2Babcdefghijklmnopqrs%3D", "keys"),
        ("-----BEGIN RSA PRIVATE KEY-----", "keys"),
    ],
)
def test_personal_data_is_noticed_and_masked(text: str, kind: str) -> None:
    ((found, piece),) = noticed(text)
    assert found == kind
    if not piece.startswith("-----"):
        assert piece not in masked(piece)
        assert sum(character == "*" for character in masked(piece)) >= 3


@pytest.mark.parametrize(
    "text",
    [
        "1234567890123456",
        "in 2024-05-01 at 12:30",
        "3.14159265358979",
        "a@b",
        "0.0.80",
        "1,234,567,890",
        "@name",
    ],
)
def test_other_numbers_and_signs_are_no_personal_data(text: str) -> None:
    assert list(noticed(text)) == []


def test_examples_are_few_and_counts_are_whole() -> None:
    found = PersonalData()
    for number in range(20):
        found.look([f"a{number}@example.org, b{number}@example.net", "nothing"])
    assert (found.counts["e-mail addresses"], found.conversations["e-mail addresses"]) == (40, 20)
    assert (
        len(found.examples["e-mail addresses"]) == 3 - 1
    )  # of which two look alike: a***@***.org, b***@***.net


def test_a_look_says_what_a_run_would_take(tmp_path: Path) -> None:
    rows: list[Any] = [{"messages": chat, "lang": "en"} for chat in chats(20)]
    rows[1]["messages"][1]["content"] = "mail me@example.org"
    write_lines(tmp_path / "train.jsonl", [*rows, rows[5], {"messages": []}])
    write_lines(tmp_path / "test.jsonl", [*({"messages": chat} for chat in chats(4, "t")), rows[1]])
    before = sorted(tmp_path.rglob("*"))
    found = look(Data(dataset=str(tmp_path)), Window(), "a model", 2)
    train, test = found.splits
    assert (train.rows, test.rows, train.duplicates, test.leaks) == (20, 4, 1, 1)
    assert train.rejected["messages is empty"] == 1
    assert train.roles == {"user": 20, "assistant": 20}
    assert train.unused == {"column lang": 21}  # also of the row that stands twice
    assert [(one.kind, one.times, one.examples) for one in train.personal] == [
        ("e-mail addresses", 1, ("m***@***.org",))
    ]
    assert len(train.examples) == 2
    assert rows[0]["messages"][0]["content"] in train.examples[0]
    assert "mail m***@***.org" in train.examples[1]  # what is shown may be copied into a ticket
    assert found.fails
    assert "9.1% of the rows of train" in found.fails
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_are_shown_as_the_model_reads_them(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    config = {"chat_template": template, "bos_token": {"content": "<s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    known = ChatTemplate(tmp_path, "a model")
    assert (known.is_known, known.render(chat)) == (True, "<s>[user]a[assistant]b")
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('no system') }}")
    assert "no system" in ChatTemplate(tmp_path, "a model").render(chat)
    assert not ChatTemplate(None, "a model").is_known


def test_a_row_that_stands_twice_in_one_file_is_judged_by_the_file(tmp_path: Path) -> None:
    rows = [{"messages": chat} for chat in chats(200)]
    write_lines(tmp_path / "all.jsonl", [*rows, rows[7]])
    found = look(Data(dataset=str(tmp_path / "all.jsonl")), Window(), "a model", 0)
    assert found.fails is None
    assert sum(split.duplicates + split.leaks for split in found.splits) == 1

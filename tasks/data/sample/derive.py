"""How train_sft.jsonl and test_sft.jsonl were made; run by hand, with the package chitchat-dataset at hand.

    pip install --no-deps --target DIRECTORY chitchat-dataset==0.9.0
    python tasks/data/sample/derive.py DIRECTORY/chitchat_dataset/dataset.json

Consecutive messages of one person become one turn, the two persons alternate as user and assistant, and a
long conversation is cut after an answer. Left out is every one that might hold personal data or that not
everyone would like to read; when in doubt, out.
"""

from __future__ import annotations

import collections
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

Turns = list[str]

TRAIN_ROWS, TEST_ROWS = 200, 32
CHARACTERS = range(240, 641)  # of a whole row
TURNS = range(4, 13)
LONGEST_TURN = 320  # characters

_PERSONAL = re.compile(
    r"@|https?:|www\.|\.(com|org|net|edu)\b|\d{3,}|"
    r"(?P<same>.)(?P=same){4}|\w{16}",  # and keyboards that were leant on
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w']*[^\W\d][\w']*")  # with a letter at least
COMMON = 10  # uses in the whole data set that make a word no name, no handle and no slip


def main(source: Path, folder: Path) -> None:
    conversations: dict[str, dict[str, Any]] = json.loads(source.read_text())
    turns = {identifier: list(_turns(body)) for identifier, body in sorted(conversations.items())}
    common = _common_words(turns.values())
    beginnings = {identifier: _beginning(said) for identifier, said in turns.items()}
    rows = [_row(identifier, said) for identifier, said in beginnings.items() if _fits(said, common)]
    random.Random(0).shuffle(rows)
    if len(rows) < TRAIN_ROWS + TEST_ROWS:
        raise SystemExit(f"Only {len(rows)} conversations are left.")
    # Many begin with the same greeting: what is tested must not begin as anything that is trained on does.
    begun = collections.Counter(row["prompt"].lower() for row in rows)
    test = [row for row in rows if begun[row["prompt"].lower()] == 1][-TEST_ROWS:]
    _write(folder / "train_sft.jsonl", [row for row in rows if row not in test][:TRAIN_ROWS])
    _write(folder / "test_sft.jsonl", test)


def _turns(conversation: dict[str, Any]) -> Iterator[str]:
    """What the two said in turn; a last one of the user's is dropped, so that an answer ends it."""
    spoken: list[tuple[str, list[str]]] = []
    for group in conversation["messages"]:
        for message in group if isinstance(group, list) else [group]:
            text = " ".join(message["text"].split())
            if not text:
                continue
            if not spoken or spoken[-1][0] != message["sender"]:
                spoken.append((message["sender"], []))
            spoken[-1][1].append(text)
    whole = len(spoken) // 2 * 2
    for _, texts in spoken[:whole]:
        yield " ".join(texts)


def _beginning(turns: Turns) -> Turns:
    """As many turns from the start, up to an answer, as are wanted of a row."""
    end = 0
    while end + 2 <= min(len(turns), TURNS[-1]) and len("\n".join(turns[: end + 2])) in range(
        CHARACTERS.stop
    ):
        end += 2
    return turns[:end]


def _common_words(conversations: Iterable[Turns]) -> frozenset[str]:
    counts: collections.Counter[str] = collections.Counter()
    for turns in conversations:
        for text in turns:
            counts.update(_WORD.findall(text.lower()))
    return frozenset(word for word, count in counts.items() if count >= COMMON)


def _fits(turns: Turns, common: frozenset[str]) -> bool:
    text = "\n".join(turns)
    if len(turns) not in TURNS or len(text) not in CHARACTERS or not text.isascii():
        return False
    if any(len(turn) > LONGEST_TURN or len(turn) < 3 for turn in turns):
        return False
    if _PERSONAL.search(text) or _left_out().search(text):
        return False
    return common.issuperset(_WORD.findall(text.lower()))


@cache
def _left_out() -> re.Pattern[str]:
    lines = Path(__file__).with_name("left_out.txt").read_text().splitlines()
    listed = ", ".join(line for line in lines if line and not line.startswith("#")).split(", ")
    return re.compile(rf"\b({'|'.join(listed)})\b".replace("*", r"\w*"), re.IGNORECASE)


def _row(identifier: str, turns: Turns) -> dict[str, Any]:
    return {
        "prompt": turns[0],
        "prompt_id": hashlib.sha256(identifier.encode()).hexdigest(),
        "messages": [
            {"content": text, "role": ("user", "assistant")[place % 2]} for place, text in enumerate(turns)
        ],
    }


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)

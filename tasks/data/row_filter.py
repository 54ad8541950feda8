"""Good rows apart from bad ones, each bad one with its reason."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from tasks.data.chat import problem
from tasks.data.prepared import Lengths
from tasks.data.section import Data
from tasks.data.text import Row, Unreadable
from tasks.data.tokens import Tokens

SCHEMA = pl.Schema(
    {
        "prompt": pl.String(),
        "messages": pl.List(pl.Struct({"content": pl.String(), "role": pl.String()})),
        "prompt_id": pl.String(),
    }
)
_ASIDE = ("position", "reason")
_SPOKEN = r"[^\s\x1c-\x1f]"  # as str.strip has it: to Python these four are white space too
_IN_ORDER = r"^(system\|)?user\|assistant(\|user\|assistant)*$"


@dataclass(frozen=True)
class Bad:
    """A row that is left out: its position in the split, why, and itself."""

    position: int
    reason: str
    row: Any


def _hashes() -> pl.Series:
    return pl.Series(dtype=pl.UInt64)


@dataclass
class Sieve:
    """Sifts one split after the other; conversations and prompts seen before are remembered by hash."""

    data: Data
    tokens: Tokens
    _conversations: pl.Series = field(default_factory=_hashes)
    _other_prompts: pl.Series = field(default_factory=_hashes)  # of the splits before this one
    _prompts: pl.Series = field(default_factory=_hashes)
    _lengths: Counter[int] = field(default_factory=Counter)
    _counted: int = 0  # rows
    _turns: Counter[int] = field(default_factory=Counter)

    def next_split(self) -> None:
        """What follows is another split: its prompts must not be those of the ones before."""
        self._other_prompts = self._other_prompts.append(self._prompts)
        self._prompts = _hashes()
        self._lengths, self._turns, self._counted = Counter(), Counter(), 0

    def frame(self, positions: Sequence[int], frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Bad]]:
        """Sift rows as a parquet file has them: of the usual types by column, others one by one."""
        if not _fits(frame.schema.get(self.data.column("messages"))):
            return self.rows(positions, frame.to_dicts())
        theirs = {self.data.column(ours): ours for ours in ("prompt", "messages", "prompt_id")}
        frame = _narrowed(frame.rename(theirs, strict=False))
        frame = frame.with_columns(pl.Series("position", positions, pl.Int64), good=_well_formed())
        if frame["good"].all():
            return self._unique(_completed(frame), [])
        bad = [
            Bad(row.pop("position"), problem(row.get("messages")) or "messages cannot be trained on", row)
            for row in frame.filter(~pl.col("good")).drop("good").to_dicts()
        ]
        return self._unique(_completed(frame.filter("good")), bad)

    def rows(self, positions: Sequence[int], rows: Iterable[Row]) -> tuple[pl.DataFrame, list[Bad]]:
        """Sift rows of any shape."""
        good: list[dict[str, Any]] = []
        bad: list[Bad] = []
        for position, row in zip(positions, rows, strict=True):
            if isinstance(row, Unreadable):
                bad.append(Bad(position, row.reason, row.text))
                continue
            messages = row.get(self.data.column("messages"))
            wrong = problem(messages)
            if wrong or not isinstance(messages, list):
                column = self.data.column("messages")
                bad.append(
                    Bad(position, str(wrong) if column in row else f"there is no column {column}", row)
                )
                continue
            good.append(
                {
                    "position": position,
                    "prompt": _text(row.get(self.data.column("prompt"))),
                    "messages": [{"content": m["content"], "role": m["role"]} for m in messages],
                    "prompt_id": _text(row.get(self.data.column("prompt_id"))),
                }
            )
        frame = pl.DataFrame(good, schema={**SCHEMA, "position": pl.Int64})
        return self._unique(_completed(frame), bad)

    def lengths(self) -> Lengths:
        """Totals of what was found good in this split."""
        return Lengths(
            tokens=sum(tokens * count for tokens, count in self._lengths.items()),
            counted=self._counted,
            longest=max(self._lengths, default=0),
            turns=dict(sorted(self._turns.items())),
            buckets=dict(sorted(_buckets(self._lengths).items())),
        )

    def _unique(self, frame: pl.DataFrame, bad: list[Bad]) -> tuple[pl.DataFrame, list[Bad]]:
        """Take out rows seen before, prompts of another split, and rows that are too long."""
        contents = pl.col("messages").list.eval(pl.element().struct.field("content"))
        frame = frame.with_columns(
            *self.tokens.count(frame),
            conversation=contents.list.eval(pl.element().hash()).hash(),
            asked=pl.col("prompt").str.strip_chars().str.to_lowercase().hash(),
        )
        frame = frame.with_columns(reason=self._unfit())
        frame = frame.with_columns(reason=pl.coalesce("reason", self._seen()))
        kept = frame.filter(pl.col("reason").is_null())
        aside = frame.filter(pl.col("reason").is_not_null()).select(*SCHEMA, *_ASIDE)
        bad += [Bad(row.pop("position"), row.pop("reason"), row) for row in aside.iter_rows(named=True)]
        self._conversations.append(kept["conversation"])
        self._prompts.append(kept["asked"])
        self._lengths.update(kept["tokens"].to_list())
        self._counted += kept["counted"].sum()
        self._turns.update(kept["messages"].list.len().to_list())
        return kept.select(SCHEMA.names()), sorted(bad, key=lambda row: row.position)

    def _unfit(self) -> pl.Expr:
        """Why a row is not wanted, whatever the other rows of its split are."""
        leaked = pl.col("asked").is_in(self._other_prompts.implode())
        limit = self.tokens.limit
        long = pl.col("tokens") > limit if limit is not None else pl.lit(False)
        longer = f"longer than {limit or 0:,} tokens"
        return (
            pl.when(leaked)
            .then(pl.lit("its prompt is in the training split too"))
            .when(long)
            .then(pl.when("counted").then(pl.lit(longer)).otherwise(pl.lit(f"{longer}, by estimate")))
        )

    def _seen(self) -> pl.Expr:
        """Why a row that is fit is one too many: another such row stands before it."""
        conversation = pl.when(pl.col("reason").is_null()).then(pl.col("conversation"))
        before = conversation.is_in(self._conversations.implode()) | ~conversation.is_first_distinct()
        return pl.when(before).then(pl.lit("the same conversation stands there already"))


def _fits(messages: Any) -> bool:
    """Whether the column holds lists of objects whose role and content are strings."""
    if not isinstance(messages, pl.List) or not isinstance(messages.inner, pl.Struct):
        return False
    fields = {field.name: field.dtype for field in messages.inner.fields}
    return bool(fields.get("role") == pl.String and fields.get("content") == pl.String)


def _narrowed(frame: pl.DataFrame) -> pl.DataFrame:
    """Only the columns of the chat schema, and of a message only content and role."""
    messages = frame.schema["messages"]
    if messages != SCHEMA["messages"]:
        element = pl.struct(
            pl.element().struct.field("content").alias("content"),
            pl.element().struct.field("role").alias("role"),
        )
        frame = frame.with_columns(pl.col("messages").list.eval(element))
    texts = [pl.col(name).cast(pl.String) for name in ("prompt", "prompt_id") if name in frame.columns]
    absent = [pl.lit(None, pl.String).alias(n) for n in ("prompt", "prompt_id") if n not in frame.columns]
    return frame.select("messages", *texts, *absent)


def _well_formed() -> pl.Expr:
    """The rules of chat.problem by column, for the many rows that have none."""
    messages = pl.col("messages")
    roles = messages.list.eval(pl.element().struct.field("role")).list.join("|", ignore_nulls=False)
    in_order = roles.str.contains(_IN_ORDER)
    # A role that has the separator in itself would pass for two.
    apart = roles.str.count_matches("|", literal=True) == messages.list.len() - 1
    spoken = messages.list.eval(pl.element().struct.field("content").str.contains(_SPOKEN).fill_null(False))
    return (in_order & apart & spoken.list.all()).fill_null(False)


def _completed(frame: pl.DataFrame) -> pl.DataFrame:
    """A prompt and an id for the rows whose source has none: the first question, and a hash of the whole."""
    asked = pl.col("messages").list.eval(
        pl.element().struct.field("content").filter(pl.element().struct.field("role") == "user")
    )
    frame = frame.with_columns(pl.coalesce("prompt", asked.list.first()))
    if not frame["prompt_id"].null_count():
        return frame
    ids = [
        row["prompt_id"] or hashlib.sha256(orjson.dumps(row["messages"])).hexdigest()
        for row in frame.select("prompt_id", "messages").iter_rows(named=True)
    ]
    return frame.with_columns(pl.Series("prompt_id", ids, pl.String))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _buckets(lengths: Counter[int]) -> Counter[int]:
    """Counts by upper bound; two bounds lie a factor of the square root of two apart."""
    found: Counter[int] = Counter()
    for tokens, count in lengths.items():
        found[_bound(tokens)] += count
    return found


def _bound(tokens: int) -> int:
    return round(2 ** (math.ceil(2 * math.log2(max(1, tokens))) / 2))

"""Good rows apart from rejected ones, each rejected one with its reason."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from tasks.azure.failure import Cause, Failure
from tasks.data.chat import ROLES, problem
from tasks.data.document import Row, Unreadable
from tasks.data.message import CONTENT_KEYS, ROLE_KEYS, Reading, Unfit
from tasks.data.prepared import Lengths
from tasks.data.section import Check, Data, Shape
from tasks.data.shape import Recognised, recognise, shortened
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
LEAK = "the same conversation is in an earlier split"
DUPLICATE = "the same conversation stands there already"


@dataclass(frozen=True)
class Bad:
    """A row that is left out: its position in the split, why, and itself."""

    position: int
    reason: str
    row: Any


def _hashes() -> pl.Series:
    return pl.Series(dtype=pl.UInt64)


@dataclass
class RowFilter:
    """Filters one split after the other; conversations seen before are remembered by hash."""

    data: Data
    tokens: Tokens
    recognised: Recognised | None = None  # the shape of this split's rows
    warnings: Counter[str] = field(default_factory=Counter)
    _reading: Reading = field(default_factory=Reading)
    _elsewhere: pl.Series = field(default_factory=_hashes)  # conversations of the splits before this one
    _conversations: pl.Series = field(default_factory=_hashes)
    _lengths: Counter[int] = field(default_factory=Counter)
    _counted: int = 0  # rows
    _turns: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._reading = Reading(self.data.roles)

    def next_split(self) -> None:
        """What follows is another split: its conversations must not be those of the ones before."""
        self._elsewhere = self._elsewhere.append(self._conversations)
        self._conversations = _hashes()
        self._lengths, self._turns, self._counted = Counter(), Counter(), 0
        self.recognised, self.warnings, self._reading = None, Counter(), Reading(self.data.roles)

    @property
    def unused(self) -> Counter[str]:
        """What rows hold beyond their conversations, with the number of times it is there."""
        return self._reading.unused

    def frame(self, positions: Sequence[int], frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Bad]]:
        """Filter rows as a table has them: of the usual types by column, others one by one."""
        if self.recognised is None:
            self._recognise(frame.head(50).to_dicts())
        columns = _narrowed(frame, self.recognised, self._reading) if self.recognised else None
        if columns is None:
            return self.rows(positions, frame.to_dicts())
        columns = columns.with_columns(pl.Series("position", positions, pl.Int64), good=_well_formed())
        if columns["good"].all():
            return self._unique(_completed(columns), [])
        bad = [
            Bad(row.pop("position"), problem(row.get("messages")) or "messages cannot be trained on", row)
            for row in columns.filter(~pl.col("good")).drop("good").to_dicts()
        ]
        return self._unique(_completed(columns.filter("good")), bad)

    def rows(self, positions: Sequence[int], rows: Iterable[Row]) -> tuple[pl.DataFrame, list[Bad]]:
        """Filter rows of any shape."""
        rows = list(rows)
        if self.recognised is None:
            self._recognise([row for row in rows if not isinstance(row, Unreadable)])
        good: list[dict[str, Any]] = []
        bad: list[Bad] = []
        for position, row in zip(positions, rows, strict=True):
            if isinstance(row, Unreadable):
                bad.append(Bad(position, row.reason, row.text))
                continue
            try:
                good.append({"position": position, **self._row(row)})
            except Unfit as unfit:
                bad.append(Bad(position, str(unfit), row))
        frame = pl.DataFrame(good, schema={**SCHEMA, "position": pl.Int64})
        return self._unique(_completed(frame), bad)

    def check_shape(self, batches: Iterable[Any]) -> None:
        """Raise Failure for rows of no known shape."""
        for batch in batches:
            rows = batch if isinstance(batch, list) else batch.to_dicts()
            if self.recognised is None:
                self._recognise([row for row in rows if not isinstance(row, Unreadable)])

    def lengths(self) -> Lengths:
        """Totals of what was found good in this split."""
        return Lengths(
            tokens=sum(tokens * count for tokens, count in self._lengths.items()),
            counted=self._counted,
            longest=max(self._lengths, default=0),
            turns=dict(sorted(self._turns.items())),
            buckets=dict(sorted(_buckets(self._lengths).items())),
        )

    def _recognise(self, rows: Sequence[Any]) -> None:
        """The shape of the split, by its first rows; raises Failure for one that is not known."""
        if not rows:
            return
        self.recognised = recognise(rows, self.data)
        if self.recognised is None:
            first = rows[0]
            columns = ", ".join(map(str, first)) if isinstance(first, dict) else "none: it is a list"
            named = f" of the format {self.data.format}" if self.data.format else " of a shape known here"
            raise Failure(
                f"The rows of {self.data.dataset} are not{named}. Their columns: {columns}. "
                f"The first row: {shortened(first)}.",
                "Name the columns, data.columns={messages: NAME} or {prompt: NAME, completion: NAME}, or the "
                f"shape in data.format ({', '.join(Shape)}).",
                cause=Cause.DATA,
            )

    def _row(self, row: Any) -> dict[str, Any]:
        """A row in the chat schema; raises Unfit."""
        assert self.recognised is not None
        if isinstance(row, dict) is self.recognised.bare:
            list_or_not = (
                "a list, and not an object" if isinstance(row, list) else "an object, and not a list"
            )
            raise Unfit(f"the row is {list_or_not} as the others are")
        messages = self.recognised.messages(row, self._reading)
        if wrong := problem(messages):
            raise Unfit(wrong)
        for at, message in enumerate(messages):
            if not _is_encodable(message["content"]):
                raise Unfit(f"message {at} holds half a character (a lone surrogate)")
        return {
            "prompt": self._prompt(row),
            "messages": messages,
            "prompt_id": self._identifier(row),
        }

    def _prompt(self, row: Any) -> str | None:
        column = self.recognised and self.recognised.columns.get("prompt")
        if not column or "messages" not in (self.recognised and self.recognised.columns or ()):
            return None
        value = row.get(column)
        if isinstance(value, str) and _is_encodable(value):
            return value
        if value is not None:
            self._reading.unused[f"column {column} (not text)"] += 1
        return None

    def _identifier(self, row: Any) -> str | None:
        column = self.recognised and self.recognised.columns.get("prompt_id")
        value = row.get(column) if column else None
        if isinstance(value, str | int) and not isinstance(value, bool) and _is_encodable(str(value)):
            return str(value)
        if value is not None:
            self._reading.unused[f"column {column} (not text)"] += 1
        return None

    def _unique(self, frame: pl.DataFrame, bad: list[Bad]) -> tuple[pl.DataFrame, list[Bad]]:
        """Take out rows that stand in this split or another one already, and rows that are too long."""
        frame = frame.with_columns(*self.tokens.count(frame), conversation=_conversation())
        frame = frame.with_columns(reason=self._too_long())
        for check, found, reason in (
            (self.data.checks.leaks, self._leaked, LEAK),
            (self.data.checks.duplicates, self._seen, DUPLICATE),
        ):
            if check is not Check.OFF:
                objected = frame.select(pl.col("reason").is_null() & found()).to_series()
                if check is Check.WARN:
                    self.warnings[reason] += int(objected.sum())
                else:
                    said = pl.when(objected).then(pl.lit(reason)).otherwise("reason")
                    frame = frame.with_columns(reason=said)
        kept = frame.filter(pl.col("reason").is_null())
        aside = frame.filter(pl.col("reason").is_not_null()).select(*SCHEMA, *_ASIDE)
        bad += [Bad(row.pop("position"), row.pop("reason"), row) for row in aside.iter_rows(named=True)]
        self._conversations.append(kept["conversation"])
        self._lengths.update(kept["tokens"].to_list())
        self._counted += kept["counted"].sum()
        self._turns.update(kept["messages"].list.len().to_list())
        return kept.select(SCHEMA.names()), sorted(bad, key=lambda row: row.position)

    def _too_long(self) -> pl.Expr:
        limit = self.tokens.limit
        long = pl.col("tokens") > limit if limit is not None else pl.lit(False)
        longer = f"longer than {limit or 0:,} tokens"
        reason = pl.when("counted").then(pl.lit(longer)).otherwise(pl.lit(f"{longer}, by estimate"))
        return pl.when(long).then(reason)

    def _leaked(self) -> pl.Expr:
        return pl.col("conversation").is_in(self._elsewhere.implode())

    def _seen(self) -> pl.Expr:
        """Whether another such row, which is fit, stands before it."""
        conversation = pl.when(pl.col("reason").is_null()).then(pl.col("conversation"))
        return conversation.is_in(self._conversations.implode()) | ~conversation.is_first_distinct()


def _conversation() -> pl.Expr:
    """A hash of who says what; white space around a text is no other conversation."""
    role, content = (pl.element().struct.field(name) for name in ("role", "content"))
    said = pl.struct(role, content.str.strip_chars())
    return pl.col("messages").list.eval(said.hash()).hash()


def _narrowed(frame: pl.DataFrame, shape: Recognised, reading: Reading) -> pl.DataFrame | None:
    """The columns of the chat schema; None for rows that must be read one by one."""
    column = shape.columns.get("messages", "")
    kind = frame.schema.get(column)
    beside = shape.used - {column, *(shape.columns.get(c, "") for c in ("prompt", "prompt_id"))}
    others = {name for name in frame.columns if name not in shape.used} | beside
    if any(frame[name].null_count() < frame.height for name in others if name in frame.columns):
        return None
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        return None
    fields = {field.name: field.dtype for field in kind.inner.fields}
    role = next((key for key in ROLE_KEYS if key in fields), "")
    content = next((key for key in CONTENT_KEYS if key in fields), "")
    if fields.get(role) != pl.String or fields.get(content) != pl.String:
        return None
    messages = frame[column]
    if (fields.keys() - {role, content}) or not _are_ours(messages, role):
        found = _renamed(messages, role, content, reading)
        if found is None:
            return None
        messages = found
    elif (role, content) != ("role", "content") or list(fields) != ["content", "role"]:
        messages = _plain(messages, role, content)
    texts = []
    for ours in ("prompt", "prompt_id"):
        theirs = shape.columns.get(ours)
        if theirs not in frame.columns:
            texts.append(pl.lit(None, pl.String).alias(ours))
            continue
        named = frame.schema[theirs]
        fits = named == pl.String or (ours == "prompt_id" and named.is_integer())
        if not fits and frame[theirs].null_count() < frame.height:
            return None
        texts.append(frame[theirs].cast(pl.String).alias(ours))
    return pl.DataFrame({"messages": messages}).with_columns(*texts)


def _are_ours(messages: pl.Series, role: str) -> bool:
    said = messages.explode().struct.field(role).unique().drop_nulls()
    return bool(said.is_in(ROLES).all())


def _plain(messages: pl.Series, role: str, content: str) -> pl.Series:
    element = pl.struct(
        pl.element().struct.field(content).alias("content"), pl.element().struct.field(role).alias("role")
    )
    return messages.to_frame("messages").select(pl.col("messages").list.eval(element)).to_series()


def _renamed(messages: pl.Series, role: str, content: str, reading: Reading) -> pl.Series | None:
    """Messages with other names of roles; None where a message says more than role and content."""
    said = messages.explode()
    for field_ in said.struct.fields:
        if field_ not in (role, content) and said.struct.field(field_).null_count() < len(said):
            return None
    name = pl.element().struct.field(role)
    ours = name.str.strip_chars().str.to_lowercase().replace_strict(dict(reading.known_roles), default=name)
    element = pl.struct(
        pl.element().struct.field(content).alias("content"),
        ours.alias("role"),
    )
    return messages.to_frame("messages").select(pl.col("messages").list.eval(element)).to_series()


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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


def _buckets(lengths: Counter[int]) -> Counter[int]:
    """Counts by upper bound; two bounds lie a factor of the square root of two apart."""
    found: Counter[int] = Counter()
    for tokens, count in lengths.items():
        found[_bound(tokens)] += count
    return found


def _bound(tokens: int) -> int:
    return round(2 ** (math.ceil(2 * math.log2(max(1, tokens))) / 2))

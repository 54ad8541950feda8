"""Which rows of which files become which split; reproducible by the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.azure.failure import Cause, Failure
from tasks.data import layout
from tasks.data.section import Data, Split, count
from tasks.data.source import Source

Rows = Sequence[int]  # positions in the files, ascending
_PREFERRED = ("train", "train_sft", "sft_train", "training")


@dataclass(frozen=True)
class Part:
    """A split to prepare: rows of files, all of them or those that are `cut` for it."""

    role: str  # train, validation, test
    name: str  # what the source calls the files
    files: tuple[str, ...]
    split: Split
    cut: bool = False

    @property
    def title(self) -> str:
        """What the split is called."""
        return f"{self.name}-{self.role}" if self.cut else self.name


def parts(data: Data, source: Source) -> list[Part]:
    """The splits by their names or, where none is set, those that the source has; the rest is cut from train.

    Raises Failure for a name that the source has not, and where it is not clear which split is meant.
    """
    train = data.train.name or _found("train", source)
    if train is None:
        raise _several("train", source)
    names = {
        "train": train,
        "validation": data.validation.name or _found("validation", source, train),
        "test": data.test.name or _found("test", source, train),
    }
    files = {role: source.files(name) for role, name in names.items() if name}
    cut = {role for role, name in names.items() if name is None or (role != "train" and name == train)}
    for role in ("validation", "test"):
        _check_apart(role, names, files)
    if names["test"] is not None and names["test"] != train:
        cut.discard("validation")  # the component cuts one by itself, as the tutorial has it
    found = []
    for role, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if role in cut or (role == "train" and cut):
            found.append(Part(role, train, files["train"], split, cut=True))
        elif role in files:
            found.append(Part(role, names[role] or "", files[role], split))
    return found


def rows_of(data: Data, part: Part, among: Sequence[Part], total: int) -> Rows:
    """The positions to take of files of `total` rows; raises Failure when there are none."""
    if not total:
        raise Failure(
            f"The split {part.name} has no rows.",
            "Name another split in data.train.name or data.test.name.",
            cause=Cause.DATA,
        )
    whole: Rows = range(total)
    if part.cut:
        whole = _cut(data, part, among, total)
    taken = part.split.count(len(whole))
    if data.rows == "first" or taken == len(whole):
        return whole[:taken]
    drawn = sorted(random.Random(f"{data.seed}/{part.name}").sample(range(len(whole)), taken))
    return [whole[at] for at in drawn]


def described(data: Data, part: Part, rows: Rows, total: int) -> str:
    """The choice in words, for the manifest and the card."""
    take = "" if part.split.take == "100%" else f"{part.split.take} of "
    if part.cut:
        return (
            f"{len(rows):,} of {total:,} rows ({take}what is cut of {part.name} for {part.role}), "
            f"drawn with the seed {data.seed}"
        )
    if len(rows) == total:
        return f"all {total:,} rows"
    if data.rows == "first":
        return f"the first {len(rows):,} of {total:,} rows ({part.split.take})"
    return f"{len(rows):,} of {total:,} rows ({part.split.take}), drawn with the seed {data.seed}"


def _cut(data: Data, part: Part, among: Sequence[Part], total: int) -> Rows:
    """The part's share of the rows, no row in two parts; validation gets none where there are too few."""
    sizes = {
        role: count(amount, total)
        for role, amount in (("test", data.cut.test), ("validation", data.cut.validation))
        if any(one.cut and one.role == role for one in among)
    }
    if total - sizes.get("test", 0) < 1 or sum(sizes.values()) >= total > 2:
        raise Failure(
            f"{part.name} has {total:,} rows, of which {sum(sizes.values()):,} are to be cut "
            f"for {' and '.join(sizes)}: none is left to train on.",
            "Lower data.cut, or name a test split in data.test.name.",
            cause=Cause.DATA,
        )
    if sum(sizes.values()) >= total:
        sizes["validation"] = 0
    drawn = random.Random(f"{data.seed}/{part.name}/cut").sample(range(total), sum(sizes.values()))
    held = {"test": drawn[: sizes.get("test", 0)], "validation": drawn[sizes.get("test", 0) :]}
    if part.role != "train":
        return sorted(held[part.role])
    taken = set(drawn)
    return [position for position in range(total) if position not in taken]


def _found(role: str, source: Source, train: str = "") -> str | None:
    """The source's split for a role, if it has one; for train the only split, whatever it is called."""
    fitting = [name for name in source.splits if layout.purpose(name) == role]
    if role == "train":
        for name in _PREFERRED:
            if name in fitting:
                return name
        if not fitting and len(source.splits) == 1:
            return next(iter(source.splits))
        if not fitting and not any(map(layout.purpose, source.splits)):
            if any(map(layout.hints, source.splits)):
                return None
            return _ALL if len({kind.family for kind in source.formats.values()}) == 1 else None
        return fitting[0] if len(fitting) == 1 else None
    partner = train.replace("training", role).replace("train", role)
    if partner in fitting and partner != train:
        return partner
    if role in fitting:
        return role
    if len(fitting) > 1 and role == "test":
        raise _several(role, source)
    fitting = [name for name in fitting if name != train]
    return fitting[0] if len(fitting) == 1 else None


_ALL = "*"  # as a pattern: every file


def _several(role: str, source: Source) -> Failure:
    fitting = [name for name in source.splits if layout.purpose(name) == role] or list(source.splits)
    listed = ", ".join(sorted(fitting))
    what = f"has several splits that may be meant for {role}" if len(fitting) > 1 else f"has no {role} split"
    return Failure(
        f"{source.name} {what}: {listed}.",
        f"Set data.{role}.name to one of them, such as data.{role}.name={sorted(fitting)[0]}.",
        cause=Cause.DATA,
    )


def _check_apart(role: str, names: dict[str, str | None], files: dict[str, tuple[str, ...]]) -> None:
    """Raise Failure where a file would be trained on and tested on; the split itself is cut instead."""
    if names[role] is None:
        return
    same = set(files[role]) & set(files["train"])
    if same and names[role] == names["train"]:
        raise Failure(
            f"The training and the {role} split are the same ({names['train']}).",
            f"Leave data.{role}.name out to have it cut from the training split, or name another split.",
            cause=Cause.CONFIGURATION,
        )
    if same:
        raise Failure(
            f"The {role} split {names[role]} shares files with the training split: {sorted(same)[0]}.",
            f"Set data.{role}.name to other files.",
            cause=Cause.DATA,
        )

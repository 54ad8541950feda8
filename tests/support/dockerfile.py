"""A Dockerfile as a list of instructions, and its first stage carried out where no engine is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction with its words, such as COPY and what is copied where."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def is_of_context(self) -> bool:
        """Whether it copies from the project, and not from another stage."""
        return self.name == "COPY" and not self.text.startswith("--from")


def stages(file: Path) -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[Instruction]] = []
    for instruction in _instructions(file.read_text(encoding="utf-8")):
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def let_in(path: str, ignored: Path) -> bool:
    """Whether a .dockerignore file leaves the path in: the last pattern that matches decides."""
    within = True
    for line in ignored.read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        if fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
            within = line.startswith("!")
    return within


def carry_out(stage: list[Instruction], root: Path, folder: Path, variables: dict[str, str]) -> None:
    """What a stage copies and what it has uv do, in a folder that stands for its work directory."""
    folder.mkdir(parents=True)
    for instruction in stage:
        if instruction.is_of_context:
            *sources, target = instruction.words
            for source in sources:
                _copy(root / source, folder / target, into=target.endswith("/"))
        elif instruction.name == "RUN" and instruction.text.startswith("uv "):
            subprocess.run(["bash", "-ec", instruction.text], cwd=folder, env=variables, check=True)


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    target.mkdir(parents=True, exist_ok=True) if into or target.is_dir() else None
    shutil.copy(source, target / source.name if target.is_dir() else target)


def _instructions(text: str) -> Iterator[Instruction]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield Instruction(name, rest.strip())

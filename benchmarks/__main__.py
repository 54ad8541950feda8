"""Every table of docs/benchmarks.md in one go, with the machine, the date and between what each figure lay.

    uv run --extra local --with trl python -m benchmarks [NAME...]

The peers of `server`, `lists` and `suites` come from npm and PyPI, into a folder that they share. One that
fails is said to, and the others go on. The table of the faults is the sweep's: `python -m tests.sweep`.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

# In the order of the documentation; the arguments of each table.
TABLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (("--precision", "16"), ("--precision", "32")),
    "server": ((),),
    "lists": ((),),
    "suites": ((),),
    "wait": ((),),
    "history": ((),),
    "data": ((),),
    "serve": ((),),
    "run": ((),),
}
_WITH_PEERS = ("server", "lists", "suites")
_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print the tables; how many could not be made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; all when left out")
    parser.add_argument("--folder", type=Path, help="where Azurite and moto are installed and kept")
    options = parser.parse_args()
    if unknown := set(options.names) - TABLES.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: name some of {', '.join(TABLES)}")
    print("\n".join(_heading()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        failed = [
            name
            for name in options.names or TABLES
            for given in TABLES[name]
            if not _made(name, [*given, *(["--folder", str(folder)] if name in _WITH_PEERS else [])])
        ]
    return len(failed)


def _made(name: str, arguments: list[str]) -> bool:
    """Whether the table could be printed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    print(f"\n## {name} {' '.join(arguments)}".rstrip() + "\n", flush=True)
    began, load = monotonic(), os.getloadavg()[0]
    code = subprocess.run(command, cwd=_ROOT, check=False).returncode
    print(f"\n{monotonic() - began:.0f} s; load of the machine before: {load:.1f}", flush=True)
    if code:
        print(f"NOT MADE: {name} ended with {code}", flush=True)
    return code == 0


def _heading() -> Iterator[str]:
    yield f"# Benchmarks of {datetime.now(UTC):%d %B %Y, %H:%M} UTC"
    yield ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"- {_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.platform()}"
    packages = " ".join(
        f"{name} {found}" for name in ("torch", "transformers", "trl", "prefect") if (found := _version(name))
    )
    yield f"- Python {platform.python_version()}, {packages}"
    yield f"- revision {_revision()}"
    yield "- a figure is the median of its rounds, with the least and the most in parentheses"


def _processor() -> str:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _revision() -> str:
    asked = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(asked, cwd=_ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

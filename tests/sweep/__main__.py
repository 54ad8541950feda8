"""The sweep: the whole flow, with one fault at each of its HTTP calls in turn, and worse, of each kind.

``python -m tests.sweep`` tries all and takes hours on two cores; ``--sample 40 --seed 1`` draws some.
"""

from __future__ import annotations

import argparse
import signal
import sys
from math import inf
from pathlib import Path

from tests.sweep import kinds, log
from tests.sweep.sweep import cases, sweep
from tests.sweep.table import explain, judge, table
from tests.sweep.worker import Tried


def main() -> int:
    """Print the table; the cases that did not survive go to stderr as they come. 1 when one must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=kinds.KINDS, default=kinds.KINDS)
    parser.add_argument("--sample", type=int, help="so many cases, drawn at random, instead of all")
    parser.add_argument("--seed", type=int, default=0, help="draws the sample")
    parser.add_argument("--once", action="store_true", help="only the first call of each method and path")
    parser.add_argument("--alone", action="store_true", help="a run for each case, where some share one")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, each in its own workspace")
    parser.add_argument("--minutes", type=float, default=inf, help="begin no case after so many minutes")
    parser.add_argument("--log", type=Path, help="gets every case; those in it are not tried again")
    arguments = parser.parse_args()
    # Either ends the servers as well. A shell without job control has what it starts in the background ignore
    # SIGINT, and with it all the runs, whose Ctrl-C would be tried on deaf ears.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    results = log.read(arguments.log) if arguments.log else []
    try:
        _sweep(arguments, results)
    except KeyboardInterrupt:
        print("Interrupted: the table has what was tried until then.", file=sys.stderr)
    print(table(results))
    return int(any(judge(tried).bad for tried in results))


def _sweep(arguments: argparse.Namespace, results: list[Tried]) -> None:
    with sweep(arguments.processes, every_call=not arguments.once) as swept:
        wanted = cases(
            swept.baseline,
            arguments.kinds,
            sample=arguments.sample,
            seed=arguments.seed,
            once=arguments.once,
        )
        left = log.untried(wanted, results)
        for tried in swept.attempt(left, arguments.minutes, together=not arguments.alone):
            results.append(tried)
            if arguments.log:
                log.append(arguments.log, tried)
            if not judge(tried).survived or judge(tried).bad:
                print(explain(tried), file=sys.stderr, flush=True)
            print(f"{len(results)} of {len(wanted)}, {tried.seconds:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

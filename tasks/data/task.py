"""The stage: prepare the data, and say how far it is."""

from __future__ import annotations

from tasks.core.limit import WORK
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.prepare import prepare
from tasks.data.prepared import PreparedData, PreparedSplit
from tasks.data.progress import DataProgress
from tasks.data.section import Data
from tasks.data.window import Window

_UNKNOWN = Window()


@stage(Stage.DATA, limit=WORK, run_name="data: {data.dataset}")
def prepare_data(data: Data, window: Window = _UNKNOWN) -> PreparedData:
    """The splits of the configured data as JSON Lines in the chat schema, validated."""
    progress = DataProgress()
    prepared = prepare(data, progress, window)
    for split in prepared.splits:
        _log(split)
    for what, names in (("splits", prepared.unused_splits), ("files", prepared.unused_files)):
        if names:
            logger().info("Not used of the source: the %s %s", what, ", ".join(names))
    rows = " and ".join(f"{split.rows:,}" for split in prepared.splits)
    read = "prepared before" if prepared.reused else f"{prepared.bytes_read / 1e6:,.1f} MB read"
    progress.end(f"{rows} rows, {read}")
    return prepared


def _log(split: PreparedSplit) -> None:
    """What was taken, what was rejected, and what is not used."""
    logger().info(
        "%s: %s rows, %s (%s), sha256 %s",
        split.name,
        f"{split.rows:,}",
        split.taken,
        split.recognised,
        split.sha256[:12],
    )
    for reason, count in split.findings.items():
        logger().warning("%s: %s rows rejected: %s", split.name, f"{count:,}", reason)
    for reason, count in split.warnings.items():
        logger().warning("%s: %s rows kept, although %s", split.name, f"{count:,}", reason)
    for what, times in split.unused.items():
        logger().warning(
            "%s: not used: %s%s", split.name, what, "" if times is None else f" ({times:,} times)"
        )

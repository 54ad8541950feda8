"""The stage: prepare the data, and say how far it is."""

from __future__ import annotations

from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.data.prepare import prepare
from tasks.data.prepared import PreparedData
from tasks.data.progress import Progress
from tasks.data.section import Data
from tasks.data.window import Window

_UNKNOWN = Window()


@stage(Stage.DATA, limit=None, run_name="data: {data.dataset}")
def prepare_data(data: Data, window: Window = _UNKNOWN) -> PreparedData:
    """Both splits of the configured data as JSON Lines in the chat schema, validated."""
    progress = Progress()
    prepared = prepare(data, progress, window)
    for split in (prepared.train, prepared.test):
        logger().info(
            "%s: %s rows, %s, sha256 %s", split.name, f"{split.rows:,}", split.taken, split.sha256[:12]
        )
        for reason, count in split.findings.items():
            logger().warning("%s: %s rows set aside: %s", split.name, f"{count:,}", reason)
    rows = f"{prepared.train.rows:,} and {prepared.test.rows:,} rows"
    read = "prepared before" if prepared.reused else f"{prepared.bytes_read / 1e6:,.1f} MB read"
    progress.end(f"{rows}, {read}")
    return prepared

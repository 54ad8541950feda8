"""The stage: prepare the data, and say how far it is."""

from __future__ import annotations

from time import monotonic

from tasks.data.prepare import prepare
from tasks.data.prepared import PreparedData
from tasks.data.section import Data
from tasks.stage import logger, stage, tell

_EVERY = 1.0  # seconds between two words on progress


@stage("data", run_name="data: {data.dataset}")
def prepare_data(data: Data) -> PreparedData:
    """Both splits of the configured data as JSON Lines in the chat schema, validated."""
    said = 0.0

    def watch(read: int, rows: int) -> None:
        nonlocal said
        if monotonic() - said < _EVERY:
            return
        said = monotonic()
        tell("data", f"{read / 1e6:,.0f} MB read, {rows:,} rows done")

    prepared = prepare(data, watch)
    for split in (prepared.train, prepared.test):
        logger().info(
            "%s: %s rows, %s, sha256 %s", split.name, f"{split.rows:,}", split.taken, split.sha256[:12]
        )
        for reason, count in split.findings.items():
            logger().warning("%s: %s rows set aside: %s", split.name, f"{count:,}", reason)
    tell("data", "prepared before" if prepared.reused else f"{prepared.bytes_read / 1e6:,.1f} MB read")
    return prepared

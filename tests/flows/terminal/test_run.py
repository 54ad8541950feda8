"""`finetune run` in this process: what it says where a signal comes at the worst moment."""

from __future__ import annotations

import logging
import signal

import pytest

from flows.run.report import RunReport
from flows.terminal.run import _observed
from tasks.core.stage import StageEvent, observing
from tasks.core.stages import Stage
from tests.flows.conftest import MakeConfig
from tests.support.prefect_server import PrefectServer


class Press(logging.Filter):
    """Presses Ctrl-C once Prefect says that the flow has finished: nothing of the flow's sees it any more."""

    times = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.times and record.getMessage().startswith("Finished in state Cancelled"):
            self.times += 1
            signal.raise_signal(signal.SIGINT)
        return True


@pytest.mark.slow
def test_a_second_ctrl_c_after_the_flow_has_ended_leaves_its_message(
    prefect_server: PrefectServer, config: MakeConfig
) -> None:
    pressed: list[str] = []
    ended: list[RunReport] = []

    def press(event: StageEvent) -> None:
        if event.stage is Stage.TRAIN and event.detail and not pressed:
            pressed.append(event.detail)
            signal.raise_signal(signal.SIGINT)

    again, log = Press(), logging.getLogger("prefect.flow_runs")
    lasting = ("data.train.take=44", "parameters.more={seconds: 60}", "compute.name=twice-pressed")
    log.addFilter(again)
    try:
        with (
            observing(press),
            pytest.raises(KeyboardInterrupt, match=r"^Cancelled at train: job .+ cancelled; "),
        ):
            _observed(config(*lasting, "compute.keep=false"), ended.append)
    finally:
        log.removeFilter(again)
    assert (len(pressed), again.times) == (1, 1)
    assert ended == []

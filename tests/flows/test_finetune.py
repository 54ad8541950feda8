"""The whole flow, end to end, through the real SDKs and with a component that takes a second."""

from __future__ import annotations

from tests.flows.conftest import MakeConfig, PrefectServer


def test_the_flow_completes(prefect_server: PrefectServer, config: MakeConfig) -> None:
    from flows.finetune import finetune

    report = finetune(config())
    assert report.outcome == "completed"

"""The roles in the documentation are the files that the local workspace reads."""

from __future__ import annotations

import json

from azureml_local.state import access
from tests.docs.documents import blocks
from tests.support.checkout import ROOT


def test_the_custom_roles_on_the_page_are_the_ones_that_the_tests_run_with() -> None:
    shown = [json.loads(block.text) for block in blocks("json") if block.page == ROOT / "docs/azure.md"]
    custom = [role for role in access.documents(access.LEAST_PRIVILEGE) if role["IsCustom"]]
    assert len(custom) == 2
    assert [role for role in custom if role not in shown] == []


def test_the_built_in_roles_are_named_on_the_page() -> None:
    text = (ROOT / "docs/azure.md").read_text(encoding="utf-8")
    built_in = [role for role in access.documents(access.LEAST_PRIVILEGE) if not role["IsCustom"]]
    assert built_in
    assert [role["Name"] for role in built_in if role["Name"] not in text] == []

"""In what runs differ: settings by their path, and ids that tell the runs apart."""

from __future__ import annotations

from flows.dashboard.difference import differing, headings, settings_of


def test_settings_differ_by_their_path_also_where_only_one_run_has_them() -> None:
    one = settings_of({"data": {"train": {"take": "5%"}, "subset": None}, "parameters": {"more": {}}})
    other = settings_of({"data": {"train": {"take": "5%"}, "subset": None}, "parameters": {"more": {"r": 4}}})
    assert differing([one, other]) == {"parameters.more": [{}, None], "parameters.more.r": [None, 4]}
    assert differing([one, one]) == {}


def test_runs_that_began_together_are_told_apart_by_more_of_their_ids() -> None:
    together = ["019abc12-3456-7aaa-8bbb-000000000001", "019abc12-3457-7aaa-8bbb-000000000001"]
    assert headings(together) == ["019abc12-3456", "019abc12-3457"]
    assert headings([together[0], "519abc12-3456-7aaa-8bbb-000000000002"]) == ["019abc12", "519abc12"]
    assert headings([together[0], together[0]]) == ["019abc12", "019abc12"]

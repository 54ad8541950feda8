"""The failure that a block must end with: its cause, and the few words of its line that matter."""

from __future__ import annotations

import pytest

from tasks.azure.failure import Cause, Failure


def fails(cause: Cause, *said: str) -> pytest.RaisesExc[Failure]:
    """Expects a Failure of this cause, told in one line that holds each of these texts as they stand.

    Say what a reader must find there, such as names, values and fields to set; the sentence stays free.
    """

    def check(failure: Failure) -> bool:
        line, found = str(failure), failure.cause
        assert found is cause, f"{found.name}, not {cause.name}: {line}"
        assert "\n" not in line
        assert [text for text in said if text not in line] == [], line
        return True

    return pytest.raises(Failure, check=check)

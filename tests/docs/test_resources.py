"""The table of what the local workspace answers is that of its routes, and what is not there is refused."""

from __future__ import annotations

from typing import Any

import pytest

from azureml_local.wire import refused
from docs import resources


def test_the_page_is_as_the_routes_are() -> None:
    assert resources.PAGE.read_text(encoding="utf-8") == resources.page(), "run `python -m docs.resources`"


def test_what_is_not_there_is_refused_with_the_reason(ml_client: Any) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    with pytest.raises(HttpResponseError, match=refused.COLLECTIONS["serverlessEndpoints"]) as caught:
        ml_client.serverless_endpoints.get("scorer")
    assert not isinstance(caught.value, ResourceNotFoundError)
    with pytest.raises(HttpResponseError, match="not part of the local workspace"):
        list(ml_client.serverless_endpoints.list())

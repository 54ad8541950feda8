"""A client that asks again where one machine of an endpoint fails, as another one may answer."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

# 424 is how an endpoint passes on that its model has failed, 429 that it has too much to do.
PASSING = (408, 424, 429, 500, 502, 503, 504)


def patient(attempts: int = 6) -> requests.Session:
    """A session whose requests are sent again, each after a longer pause, until one is answered."""
    retry = Retry(
        attempts, backoff_factor=0.1, backoff_max=10, status_forcelist=PASSING, allowed_methods=None
    )
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session

"""The browser in which pages are looked at: Debian's Chromium, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PROGRAM = Path("/usr/bin/chromium")
# Root may have no sandbox; and nothing is asked of anybody.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


def needed() -> None:
    """Skip what looks at pages where there is no browser: for what would do much before it opens one."""
    if not _PROGRAM.exists():
        pytest.skip("Chromium is not installed")


@contextmanager
def opened() -> Iterator[Browser]:
    """The browser while the block runs; its event loop is this thread's as long."""
    needed()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PROGRAM, args=_FLAGS)
        yield browser
        browser.close()

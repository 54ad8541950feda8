"""Links, anchors, pictures and names of files lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import PAGES, anchors, links, spans
from tests.support.checkout import ROOT

EVERY = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
_FILE = re.compile(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|yaml|toml)")
ROOMS = ("flows", "tasks", "tests", "azureml_local/src/azureml_local")
# What a code span may name that is not in the checkout: made by users, or by commands of the documentation.
_THEIRS = re.compile(
    r"\.\./shared/azure|azure-blob-storage-container/\S+|(user_)?logs/\S+|Microsoft\..*|[A-Z]\w+/\w+"
)


@EVERY
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@EVERY
def test_files_that_it_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # it tells of what was as well
    rooms = [ROOT, page.parent, *(ROOT / room for room in ROOMS)]
    named = [text for text in spans(page) if _FILE.fullmatch(text) and not _THEIRS.fullmatch(text)]
    assert [text for text in named if not any((room / text).exists() for room in rooms)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert set(PAGES) <= reached


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90

"""The documentation builds without a warning, is complete, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import DOCS, DOCUMENTS, ROOT, name_of

WRITTEN_BY_THE_READER = {"components/count_sources.py", "tests/components/test_count_sources.py"}
"""The files that the how-to of a pipeline step adds."""
OUTSIDE_DOCS = [document for document in DOCUMENTS if DOCS not in document.parents]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


class Assets(HTMLParser):
    """Collects what a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loads = values.get("src") if tag in {"script", "img", "iframe"} else None
        if tag == "link" and values.get("rel") in {"stylesheet", "icon", "preconnect", "preload"}:
            loads = values.get("href")
        if loads:
            self.urls.append(loads)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assets = Assets()
        assets.feed(page.read_text(encoding="utf-8"))
        assert assets.urls
        assert [url for url in assets.urls if re.match(r"(https?:)?//", url)] == [], page


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = [page for entry in config["nav"] for page in pages_of(entry)]
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def pages_of(entry: Any) -> list[str]:
    """Return the pages of an entry of the navigation: a page, a titled page or a titled list."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in pages_of(child)]


@pytest.mark.parametrize("document", OUTSIDE_DOCS, ids=name_of)
def test_relative_links_outside_the_site_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for link in links:
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_that_are_named_exist(document: Path) -> None:
    """Paths in code marks, such as `serving/settings.py`."""
    tops = "|".join(["components", "docs", "feature_checks", "manifests", "monitoring", "notebooks", "pipelines",
                     "serving", "tests", r"\.github"])  # fmt: skip
    for path in re.findall(rf"`((?:{tops})/[\w./*-]*)`", document.read_text(encoding="utf-8")):
        assert path in WRITTEN_BY_THE_READER or list(ROOT.glob(path.rstrip("/"))), path

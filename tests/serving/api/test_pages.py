"""The page for people and its files: who gets it, with which headers, and what its HTML may hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.api.page import Page, prefers_html
from tests.support.wire import VERSION, Wire, prepared

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ROOT = Path(__file__).parents[3]
FILES = ("/static/style.css", "/static/page.js", "/static/icon.svg")


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/xhtml+xml, */*;q=0.1", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/json, text/html", False),
        ("text/html;q=0.5, application/*", False),
        ("text/html;q=0", False),
        ("text/html;q=high", False),
        ("text/htmlish", False),
    ],
)
def test_html_is_sent_only_where_it_is_preferred(accept: str | None, html: bool) -> None:
    assert prefers_html(accept) is html


async def test_programs_get_the_json_of_kserve_and_browsers_the_page(wire: Wire) -> None:
    for accept in ("*/*", "application/json"):
        reply = await wire.client.get("/", headers={"accept": accept})
        assert reply.json() == {"status": "alive"}
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["vary"] == "accept"
    page = await wire.client.get("/", headers={"accept": BROWSER})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "accept"
    assert f"version {VERSION}" in page.text


async def test_the_policy_lets_nothing_in_but_the_page_s_own_files(wire: Wire) -> None:
    page = await wire.client.get("/", headers={"accept": BROWSER})
    directives = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert directives["default-src"] == directives["form-action"] == directives["frame-ancestors"] == "'none'"
    assert directives["base-uri"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {f"/{path}" for path in loaded if path.startswith("static/")} == set(FILES)
    assert not [path for path in loaded if "://" in path or path.startswith("/")]


@pytest.mark.parametrize("path", ["/", *FILES, "/docs", "/openapi.json"])
async def test_pages_and_files_are_revalidated_by_etag(wire: Wire, path: str) -> None:
    first = await wire.client.get(path, headers={"accept": BROWSER})
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await wire.client.get(path, headers={"accept": BROWSER, "if-none-match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    changed = await wire.client.get(path, headers={"accept": BROWSER, "if-none-match": '"other"'})
    assert changed.content == first.content
    head = await wire.client.head(path, headers={"accept": BROWSER})
    assert (head.status_code, head.headers["etag"]) == (200, tag)
    assert head.headers["content-length"] == str(len(first.content))


async def test_the_page_follows_the_served_version(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(loaded=False)
    empty = await wire.client.get("/", headers={"accept": BROWSER})
    assert "no version is ready" in empty.text
    await wire.predictor.swap(prepared("7"))
    loaded = await wire.client.get("/", headers={"accept": BROWSER, "if-none-match": empty.headers["etag"]})
    assert loaded.status_code == 200
    assert "version 7" in loaded.text


async def test_the_page_and_its_files_do_not_count_towards_the_rate_limit(make_wire: Callable[..., Any]) -> None:
    wire = await make_wire(rate_limit="1/minute")
    for path in ("/", *FILES) * 2:
        reply = await wire.client.get(path, headers={"accept": BROWSER})
        assert reply.status_code == 200
        assert "ratelimit-limit" not in reply.headers
    assert (await wire.infer()).status_code == 200
    assert (await wire.infer()).status_code == 429


@pytest.mark.parametrize(
    ("settings", "switch"),
    [
        ({"feedback": "off", "prediction_log": "on-disk"}, "off"),
        ({"feedback": "on", "prediction_log": "off"}, "off"),
        ({"feedback": "on", "prediction_log": "on-disk"}, "on"),
    ],
)
async def test_corrections_are_offered_where_they_would_be_stored(
    make_wire: Callable[..., Any], tmp_path: Path, settings: dict[str, str], switch: str
) -> None:
    folder = str(tmp_path / "log")
    wire = await make_wire(**settings | ({} if settings["prediction_log"] == "off" else {"prediction_log": folder}))
    page = await wire.client.get("/", headers={"accept": BROWSER})
    assert f'data-feedback="{switch}"' in page.text
    sent = await wire.client.post("/v1/models/sentiment/feedback", json={"request_id": "r", "label": "neutral"})
    assert sent.status_code == (202 if switch == "on" else 404)


def test_a_model_name_cannot_break_out_of_the_html() -> None:
    reply = Page('"><script>x</script>$version', feedback=False).reply(None, None)
    assert b"<script>x" not in reply.body
    assert b'data-model="&quot;&gt;&lt;script&gt;x&lt;/script&gt;$version"' in reply.body


def test_the_wheel_carries_the_page(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("serving", "feature_checks"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    static = {path.relative_to(ROOT).as_posix() for path in (ROOT / "serving/api/static").iterdir()}
    assert len(static) == 4
    assert static | {"feature_checks/report_style.css"} <= carried

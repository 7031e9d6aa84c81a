"""The page at `GET /` for people, and the files that it loads: made once, kept in memory, served with an ETag.

Example: `Page("sentiment", feedback=True).reply("3", if_none_match=None)` is the reply to a browser.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final, NamedTuple

from feature_checks.contract import LABELS
from feature_checks.report_style import style
from serving.api.request import Headers, Reply

HTML: Final = b"text/html; charset=utf-8"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)
SECURITY_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
VARY: Final = (b"vary", b"accept")
"""The header of both replies to `GET /`: a cache must not give the page to a program or JSON to a browser."""

_NOTES: Final = {
    "on": "Corrections go to the feedback log of this server and can become training data.",
    "off": "This server takes no corrections (FEEDBACK is off).",
}


class Asset(NamedTuple):
    """One file in memory."""

    body: bytes
    content_type: bytes
    etag: bytes

    @classmethod
    def of(cls, text: str, content_type: bytes) -> Asset:
        """Make an asset of a text; its ETag is a digest of the content."""
        body = text.encode()
        return cls(body, content_type, b'"%b"' % hashlib.sha256(body).hexdigest()[:20].encode())

    def reply(self, if_none_match: str | None, *more: tuple[bytes, bytes]) -> Reply:
        """Return the file, or 304 where the client's If-None-Match header holds its ETag."""
        headers: Headers = ((b"etag", self.etag), (b"cache-control", b"no-cache"), *SECURITY_HEADERS, *more)
        if matches(if_none_match, self.etag.decode()):
            return Reply(304, b"", self.content_type, headers)
        return Reply(200, self.body, self.content_type, headers)


class Page:
    """The page and its files for one model name."""

    def __init__(self, model: str, *, feedback: bool) -> None:
        """Read the files; `feedback` tells whether the page offers to send corrections."""
        static = files("serving.api") / "static"
        read = {name: (static / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "icon.svg")}
        self.assets: Final = {
            "/static/style.css": Asset.of(style() + read["page.css"], b"text/css; charset=utf-8"),
            "/static/page.js": Asset.of(read["page.js"], b"text/javascript; charset=utf-8"),
            "/static/icon.svg": Asset.of(read["icon.svg"], b"image/svg+xml"),
        }
        """The files that the page loads, by path."""
        switch = "on" if feedback else "off"
        known = {"model": model, "labels": ",".join(LABELS), "feedback": switch, "feedback_note": _NOTES[switch]}
        text = (static / "page.html").read_text(encoding="utf-8")
        self._values = {name: escape(value) for name, value in known.items()}
        self._template = Template(text)
        self._page = lru_cache(maxsize=8)(self._render)

    def reply(self, version: str | None, if_none_match: str | None) -> Reply:
        """Return the page; `version` is the one that answers now, None where none does."""
        return self._page(version).reply(if_none_match, VARY)

    def _render(self, version: str | None) -> Asset:
        state = "no version is ready" if version is None else f"version {version}"
        return Asset.of(self._template.substitute(self._values, version=escape(state)), HTML)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Tell whether an If-None-Match header names the ETag, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def prefers_html(accept: str | None) -> bool:
    """Tell whether an Accept header asks for HTML before JSON (RFC 9110, 12.5.1); without one, JSON is sent.

    Example: a browser sends `text/html,*/*;q=0.8`, which prefers HTML; curl sends `*/*`, which prefers neither.
    """
    if accept is None or "html" not in accept.lower():
        return False
    weights = dict(_media_range(part) for part in accept.split(","))
    html = weights.get("text/html", weights.get("application/xhtml+xml", 0.0))
    json = weights.get("application/json", weights.get("application/*", weights.get("*/*", 0.0)))
    return html > json


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0

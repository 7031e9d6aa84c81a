"""The OpenAPI document as a page for people, without scripts and without anything from another host."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

_FLAT: Final = re.compile(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}")


def docs_page(document: dict[str, Any]) -> str:
    """Return an HTML page of the document: each route, a curl command for those with a body, and the errors.

    Example: `docs_page(openapi_document("sentiment"))`.
    """
    info = document["info"]
    title = escape(info["title"])
    sections = [_tag(tag, document["paths"]) for tag in document["tags"]]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}: API</title>'
        '<link rel="icon" href="static/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="static/style.css">'
        f"</head><body><main><h1>{title} {escape(info['version'])}: API</h1><p>{escape(info['description'])}</p>"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a>. To try it: <a href="./">page for people</a>.</p>'
        f"{''.join(sections)}{_errors(document['components']['responses'])}</main></body></html>"
    )


def _tag(tag: dict[str, str], paths: dict[str, Any]) -> str:
    operations = [
        _operation(method.upper(), path, operation)
        for path, item in paths.items()
        for method, operation in item.items()
        if method in ("get", "post") and operation["tags"] == [tag["name"]]
    ]
    return f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>{''.join(operations)}"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    head = f"<h3><code>{method} {escape(path)}</code></h3><p>{escape(operation['summary'])}.</p>"
    if "requestBody" not in operation:
        return head
    request = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
    success = next(iter(operation["responses"].values()))
    reply = _pretty(success["content"]["application/json"]["example"])
    command = f"curl http://localhost:8080{path} -d '{request}'"
    return head + _code(f"Request to {path}", command) + _code(f"Reply of {path}", reply)


def _pretty(value: Any) -> str:
    """Return JSON on several lines, lists and objects without inner ones on one line each."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _FLAT.sub(lambda found: re.sub(r"(?<=[\[{])\s+|\s+(?=[\]}])", "", re.sub(r"\n\s*", " ", found[0])), text)


def _code(name: str, text: str) -> str:
    return f'<pre role="region" aria-label="{escape(name)}" tabindex="0">{escape(text)}</pre>'


def _errors(responses: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{code}</td><td>{escape(response['description'])}</td><td><code>"
        f"{escape(response['content']['application/json']['example']['error'])}</code></td></tr>"
        for code, response in responses.items()
    ]
    return (
        '<h2>Errors</h2><p>The body of every error is <code>{"error": "…"}</code>.</p>'
        '<div class="table" role="region" aria-label="Errors" tabindex="0"><table><thead><tr><th>Status</th>'
        f"<th>Meaning</th><th>Example</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )

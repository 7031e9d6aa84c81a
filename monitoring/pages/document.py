"""Self-contained HTML pages in the project's common style: the document, tables, verdicts and folded sections."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Literal

from feature_checks.report_style import style

State = Literal["good", "watch", "bad"]

_EXTRA_STYLE = """
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .75rem; }
.plots figure { margin: 0; }
.plot .grid { stroke: var(--line); }
.plot .axis { fill: var(--quiet); font-size: 12px; }
.plot .threshold { stroke: var(--bad); stroke-dasharray: 5 3; fill: none; stroke-width: 1.5; }
.plot .line { stroke: var(--accent); fill: none; stroke-width: 2; stroke-linejoin: round; }
.plot .interval { stroke: var(--quiet); stroke-width: 1.5; }
.plot .point { fill: var(--accent); } .plot .alarm { fill: var(--bad); }
.plot .before { fill: var(--neutral); } .plot .now { fill: var(--accent); }
.plot .champion { stroke: var(--border); stroke-dasharray: 2 3; }
.strip { display: flex; flex-wrap: wrap; gap: .3rem; padding: 0; list-style: none; max-width: none; }
.strip a { display: grid; place-items: center; width: 2.1rem; height: 2.1rem; border-radius: 5px; font-weight: 700;
  text-decoration: none; border: 2px solid transparent; }
.strip .good { background: var(--good-surface); color: var(--good); }
.strip .watch { background: var(--watch-surface); color: var(--watch); }
.strip .bad { background: var(--bad-surface); color: var(--bad); }
.strip .retrained { border-color: currentColor; }
.nowrap { white-space: nowrap; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
iframe { display: block; width: 100%; height: 80vh; border: 1px solid var(--line); background: #fff; }
"""


class Html(str):
    """A piece of HTML that must not be escaped again."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Return a value as HTML text. A value that is Html already is returned unchanged."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def document(title: str, *body: Html) -> str:
    """Return a whole page: valid without network, light and dark, from phone to wide screen.

    Example: `document("Drift report", verdict("good", "No drift"))`.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">\n<style>{style()}{_EXTRA_STYLE}</style></head>\n'
        f"<body><main>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def verdict(state: State, text: str) -> Html:
    """Return the line that gives a page's result."""
    return Html(f'<p class="verdict {state}">{escape(text)}</p>')


def tag(state: State, text: str) -> Html:
    """Return a word with a coloured background, for tables."""
    return Html(f'<span class="tag {state}">{escape(text)}</span>')


def heading(text: str) -> Html:
    """Return a heading of the second level."""
    return Html(f"<h2>{escape(text)}</h2>")


def paragraph(text: object, *, quiet: bool = False) -> Html:
    """Return a paragraph. A quiet one has secondary information."""
    return Html(f'<p class="quiet">{escape(text)}</p>' if quiet else f"<p>{escape(text)}</p>")


def items(texts: Sequence[object]) -> Html:
    """Return a list with one item for each text."""
    return Html("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>")


def link(target: str, text: str) -> Html:
    """Return a link."""
    return Html(f'<a href="{html.escape(target)}">{escape(text)}</a>')


def table(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, ids: Sequence[str] = ()) -> Html:
    """Return a table that scrolls in its own box on a phone. Columns of int and float cells are aligned to the right.

    `ids`: one identifier for each row, so that links can lead to rows. The first cell of a row is its header.
    """
    numeric = [any(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    head = "".join(
        f'<th scope="col"{_number(is_number)}>{escape(column)}</th>'
        for column, is_number in zip(columns, numeric, strict=True)
    )
    anchors = [f' id="{html.escape(identifier)}"' for identifier in ids] or [""] * len(rows)
    body = "".join(f"<tr{anchor}>{_cells(row, numeric)}</tr>\n" for anchor, row in zip(anchors, rows, strict=True))
    return Html(
        f'<div class="table" role="region" aria-label="{html.escape(name)}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, *body: Html) -> Html:
    """Return a section that is closed until the reader opens it."""
    return Html(f"<details><summary>{escape(summary)}</summary>{''.join(body)}</details>")


def _cells(row: Sequence[object], numeric: Sequence[bool]) -> str:
    first, *rest = row
    head = f'<th scope="row"{_number(numeric[0])}>{escape(_text(first))}</th>'
    return head + "".join(
        f"<td{_number(is_number)}>{escape(_text(cell))}</td>" for cell, is_number in zip(rest, numeric[1:], strict=True)
    )


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _text(cell: object) -> object:
    return f"{cell:.3f}" if isinstance(cell, float) else cell

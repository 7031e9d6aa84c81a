"""Self-contained HTML pages and Markdown for people: a verdict, then headings with paragraphs, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Final, Literal

from feature_checks.report_style import style

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{{ style }}</style></head><body><main>
<h1>{{ title }}</h1>
{% if verdict %}<p class="verdict {{ verdict.state }}">{{ verdict.text }}</p>{% endif %}
{% for section in sections %}<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>{% endfor %}
{% if section.rows %}<div class="table" role="region" aria-label="{{ section.heading }}" tabindex="0"><table>
<thead><tr>{% for cell in section.columns %}
<th scope="col"{% if section.is_number(loop.index0) %} class="number"{% endif %}>{{ cell }}</th>{% endfor %}
</tr></thead><tbody>{% for row in section.rows %}<tr>{% for cell in row %}
<td{% if section.is_number(loop.index0) %} class="number"{% endif %}>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>{% endif %}
{% for figure in section.figures %}<figure><img alt="{{ figure.description }}" width="{{ figure.width }}"
 src="data:image/png;base64,{{ figure.base64 }}"><figcaption>{{ figure.description }}</figcaption></figure>
{% endfor %}{% endfor %}</main></body></html>
"""


@dataclass(frozen=True)
class Verdict:
    """The one result that a reader looks for first."""

    state: Literal["good", "watch", "bad"]
    text: str


@dataclass(frozen=True)
class Figure:
    """A picture with a description, which is shown below it and read aloud by screen readers."""

    png: bytes
    description: str
    width: int
    """Width in CSS pixels; the PNG has more, for sharp screens."""

    @property
    def base64(self) -> str:
        """Return the picture as the page embeds it."""
        import base64

        return base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A heading of a page with the paragraphs, the table and the figures below it."""

    heading: str
    paragraphs: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    figures: Sequence[Figure] = ()

    def is_number(self, column: int) -> bool:
        """Return whether a column of the table holds only numbers, which are aligned at the right."""
        return all(_is_number(row[column]) for row in self.rows)


def page(title: str, sections: Sequence[Section], verdict: Verdict | None = None) -> str:
    """Return a complete HTML page; every text is escaped, and nothing is loaded from elsewhere.

    Example: `page("Data check", [Section("Rows", ["All rows are fine."])], Verdict("good", "The data may be used."))`.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    template = Environment(autoescape=True).from_string(_PAGE)
    sheet = Markup(style())  # noqa: S704  # our own style sheet
    return template.render(title=title, sections=sections, verdict=verdict, style=sheet)


def markdown(title: str, sections: Sequence[Section], verdict: Verdict | None = None) -> str:
    """Return the same content as Markdown, without the figures."""
    lines = [f"# {title}"]
    if verdict:
        lines += ["", f"**{verdict.text}**"]
    for section in sections:
        lines += ["", f"## {section.heading}", *(f"\n{paragraph}" for paragraph in section.paragraphs)]
        if section.rows:
            lines += ["", _markdown_row(section.columns), _markdown_row(["---"] * len(section.columns))]
            lines += [_markdown_row(row) for row in section.rows]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[Any]) -> str:
    escaped = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _is_number(cell: Any) -> bool:
    if isinstance(cell, Number) or cell == "–":
        return True
    try:
        float(str(cell).removesuffix("%").removesuffix(" ms").replace("−", "-"))
    except ValueError:
        return False
    return True

"""Self-contained HTML pages for people: headings, tables, lists and pictures, readable offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #d8dee5; }
th { text-align: left; } td { font-variant-numeric: tabular-nums; } img { max-width: 100%; }
</style></head><body><h1>{{ title }}</h1>
{% for section in sections %}<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>{% endfor %}
{% if section.rows %}<table>
<tr>{% for cell in section.columns %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</table>{% endif %}
{% for picture in section.pictures %}<img alt="{{ section.heading }}" src="data:image/png;base64,{{ picture }}">
{% endfor %}{% endfor %}</body></html>
"""


@dataclass(frozen=True)
class Section:
    """One heading of a page with what stands under it; pictures are base64 PNG."""

    heading: str
    paragraphs: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    pictures: Sequence[str] = field(default_factory=tuple)


def page(title: str, sections: Sequence[Section]) -> str:
    """Return a complete HTML page; every text is escaped."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(_PAGE).render(title=title, sections=sections)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the same content without its pictures, as Markdown."""
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section.heading}", *(f"\n{paragraph}" for paragraph in section.paragraphs)]
        if section.rows:
            lines += ["", _markdown_row(section.columns), _markdown_row(["---"] * len(section.columns))]
            lines += [_markdown_row(row) for row in section.rows]
    return "\n".join(lines) + "\n"


def picture(figure: Figure) -> str:
    """Return a matplotlib figure as base64 PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _markdown_row(cells: Sequence[Any]) -> str:
    escaped = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(escaped) + " |"

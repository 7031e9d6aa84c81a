"""A static site of the drift history: verdicts, detector scores, macro-F1, retrainings, decisions and full reports.

python -m monitoring site --history .local/drift/history --output site
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitoring.history import History
from monitoring.pages.document import document
from monitoring.site_sections import REPORTS, Content, sections

INDEX: Final = "index.html"


def write_site(history: str, output: Path) -> Path:
    """Write the site of a drift history (folder or fsspec URL) to a folder; return the path of its index.html.

    The pages need no network. The site holds no review text.

    Example: `write_site(".local/drift/history", Path("site"))`.
    """
    kept = History(history)
    reports = kept.reports()
    (output / REPORTS).mkdir(parents=True, exist_ok=True)
    linked = frozenset(report.window for report in reports if _write_page(kept, report.window, output))
    content = Content(reports, kept.decisions(), kept.outcomes(), linked)
    path = output / INDEX
    path.write_text(document("Drift history", *sections(content)), encoding="utf-8")
    return path


def _write_page(kept: History, window: str, output: Path) -> bool:
    page = kept.page(window)
    if page is None:
        return False
    (output / REPORTS / f"{window}.html").write_text(page, encoding="utf-8")
    return True

"""The style sheet that every HTML page of the project shares, light and dark, from phone to wide screen.

Example: `f"<style>{style()}</style>"` inside the `<head>` of a self-contained page. The markup that the style expects
is listed at the top of `report_style.css`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_SHEET: Final = Path(__file__).with_suffix(".css")
_COMMENT: Final = re.compile(r"/\*.*?\*/\s*", re.DOTALL)


def style() -> str:
    """Return the style sheet without its comments, safe to put inside a `<style>` element."""
    return _COMMENT.sub("", _SHEET.read_text(encoding="utf-8"))

from __future__ import annotations

from components.reporting.pages import Section, markdown, page

SECTIONS = [Section("Rows", ["<b>text</b>"], ("a", "b"), [("x|y", "<script>")])]


def test_a_page_escapes_what_it_shows_and_asks_no_network() -> None:
    html = page("Title", SECTIONS)
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "http" not in html


def test_markdown_keeps_a_table_a_table() -> None:
    assert "| x\\|y | <script> |" in markdown("Title", SECTIONS)

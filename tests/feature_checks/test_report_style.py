"""The shared style sheet: it can be inlined, needs nothing from elsewhere and keeps text readable in both schemes."""

from __future__ import annotations

import re

import pytest

from feature_checks.report_style import style

VARIABLE = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")
TEXT_PAIRS = [
    *((text, surface) for text in ("text", "quiet", "accent") for surface in ("background", "surface", "field")),
    *((state, f"{state}-surface") for state in ("good", "watch", "bad")),
    *(("text", f"{state}-surface") for state in ("good", "watch", "bad")),
    ("on-accent", "accent"),
]
GRAPHIC_PAIRS = [
    (colour, surface)
    for colour in ("negative", "neutral", "positive", "border")
    for surface in ("background", "surface", "field")
]


def schemes() -> dict[str, dict[str, str]]:
    """Return the colours of the light and of the dark scheme by variable."""
    light, _, rest = style().partition("@media (prefers-color-scheme: dark)")
    dark, _, _ = rest.partition("\n}\n")
    return {"light": dict(VARIABLE.findall(light)), "dark": dict(VARIABLE.findall(dark))}


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` as WCAG 2.2 defines it."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_defines_it() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_graphics_have_the_contrast_of_level_aa(scheme: str) -> None:
    colours = schemes()[scheme]
    low_text = {pair: contrast(*(colours[name] for name in pair)) for pair in TEXT_PAIRS}
    assert {pair: ratio for pair, ratio in low_text.items() if ratio < 4.5} == {}
    low_graphics = {pair: contrast(*(colours[name] for name in pair)) for pair in GRAPHIC_PAIRS}
    assert {pair: ratio for pair, ratio in low_graphics.items() if ratio < 3} == {}


def test_the_dark_scheme_sets_every_colour() -> None:
    assert schemes()["light"].keys() == schemes()["dark"].keys()


def test_the_sheet_can_stand_inside_a_page_and_loads_nothing() -> None:
    assert "<" not in style()
    assert "url(" not in style()
    assert "@import" not in style()

"""The report of the verification in a real browser without network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.reporting import parity_report
from components.results.parity import Difference, Parity
from feature_checks import thresholds
from tests.support.browser import SIZES, Page

SMALL = Difference(label_agreement=0.9966, largest_gap=0.0731, gap_p99=0.0312, macro_f1_loss=0.0012)
FAITHFUL = Parity(
    rows=591,
    fp32=Difference(label_agreement=1.0, largest_gap=0.0, gap_p99=0.0, macro_f1_loss=0.0),
    int8=SMALL,
    batching=SMALL,
    latency_ms={"fp32": 5.28, "int8": 5.45},
    bundle_bytes=116_000_000,
    violations=(),
)
UNFAITHFUL = replace(FAITHFUL, violations=("INT8: label agreement 0.9712 is below 0.985",))


@pytest.mark.parametrize("parity", [FAITHFUL, UNFAITHFUL], ids=["faithful", "unfaithful"])
def test_the_verification_is_a_page_that_opens_offline(page: Page, parity: Parity, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(parity_report.html(parity, thresholds.load().verify), encoding="utf-8")
    for width, scheme in SIZES:
        page.set_viewport(width)
        page.set_colour_scheme(scheme)
        page.open(report)
        page.assert_sound()
        assert page.resources() == []
    assert ("agree" if parity.faithful else "differ") in page.find(".verdict").text

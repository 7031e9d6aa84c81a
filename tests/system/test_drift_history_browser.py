"""The site of the drift history in a real browser without network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitoring.drift.detectors import Measurement
from monitoring.drift.drift_report import DriftReport
from monitoring.history import History
from monitoring.site import write_site
from tests.support.browser import SIZES, Page

START = datetime(2026, 10, 1, tzinfo=UTC)
WINDOWS = 40
"""As many as overflow a row of squares on a phone."""


def report(day: int) -> DriftReport:
    """A judged window; the last five show drift."""
    drift = day >= WINDOWS - 5
    score = 0.52 + 0.3 * drift
    return DriftReport(
        window=f"{START + timedelta(days=day):%Y%m%dT%H%M%SZ}-24h-v3",
        reference="reference-0a1b2c3d4e5f",
        status="judged",
        drift=drift,
        reasons=("domain: the score is at its threshold or above",) if drift else (),
        measurements=(Measurement("domain", "text", "partial_auc", score, 0.566, drift),),
        not_measured=("confidence",),
        reference_rows=467,
        current_rows=500,
        reference_total=467,
        current_total=5000 + day,
        labelled_rows=200,
        macro_f1_reference=0.76,
        macro_f1_current=0.75 - 0.1 * drift,
        model_versions=("3",),
        damaged_lines=0,
    )


def test_the_site_is_sound_in_every_size_and_colour_scheme(page: Page, tmp_path: Path) -> None:
    history = History(str(tmp_path / "history"))
    for day in range(WINDOWS):
        history.add_report(report(day), START + timedelta(days=day + 1))
    index = write_site(str(tmp_path / "history"), tmp_path / "site")
    for width, scheme in SIZES:
        page.set_viewport(width)
        page.set_colour_scheme(scheme)
        page.open(index)
        page.assert_sound()
        assert page.resources() == []
    assert len(page.find_all(".strip li")) == WINDOWS

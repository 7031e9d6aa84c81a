"""A window with texts in another language is drift; one with the usual texts, or without texts, is not judged by it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from feature_checks.prediction_record import HASH_PREFIX
from monitoring.drift.comparison import compare
from monitoring.drift.languages import language_alarm
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window

GERMAN = "Die Kamera ist nach zwei Wochen kaputt gegangen und der Händler antwortet nicht."
Pair = tuple[pd.DataFrame, pd.DataFrame]


@pytest.mark.parametrize(("foreign", "alarm"), [(0, False), (20, False), (40, True)])
def test_more_than_a_twentieth_in_another_language_is_an_alarm(amazon: Pair, foreign: int, alarm: bool) -> None:
    reference, current = amazon[0], amazon[1].head(500).reset_index(drop=True)
    current.loc[: foreign - 1, "text"] = GERMAN
    assert bool(language_alarm(reference, current)) is alarm


def test_the_report_names_the_share(amazon: Pair, window: Callable[..., Window], limits: Thresholds) -> None:
    current = amazon[1].reset_index(drop=True)
    current.loc[:99, "text"] = GERMAN
    report = compare(window(amazon[0], "reference"), window(current), limits).report
    assert report.drift
    assert any("20% of the texts are in a language" in reason for reason in report.reasons)


def test_windows_without_readable_texts_give_no_alarm(amazon: Pair) -> None:
    german = amazon[1].assign(text=GERMAN)
    assert language_alarm(amazon[0], german)
    assert language_alarm(amazon[0], german.drop(columns="text")) == []
    assert language_alarm(amazon[0], german.assign(text=HASH_PREFIX + "0")) == []

"""The reference of a champion for several domains follows the mix of the traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from components.datasets import icwsm2014
from monitoring.drift.comparison import compare
from monitoring.drift.reference_mix import with_matching_mix
from monitoring.drift_thresholds import Thresholds
from monitoring.windows.window import Window


@pytest.fixture(scope="module")
def reference(amazon: tuple[pd.DataFrame, pd.DataFrame], tweets: pd.DataFrame) -> pd.DataFrame:
    """Product reviews, and tweets that people labelled."""
    rows = amazon[0].sample(400, random_state=0).assign(source="amazon")
    feedback = tweets[:150].assign(source="feedback", group_id=[f"tweet-{number}" for number in range(150)])
    return pd.concat([rows, feedback], ignore_index=True)


def test_either_domain_alone_is_no_drift_and_without_the_sources_it_is(
    reference: pd.DataFrame,
    amazon: tuple[pd.DataFrame, pd.DataFrame],
    tweets: pd.DataFrame,
    window: Callable[..., Window],
    limits: Thresholds,
) -> None:
    for current in (amazon[1], tweets[150:]):
        report = compare(window(reference), window(current), limits).report
        assert (report.drift, report.reasons) == (False, ("every detector stays below its threshold",))
        assert report.reference_rows < len(reference)
    assert compare(window(reference.drop(columns="source")), window(tweets[150:]), limits).report.drift


def test_the_sample_has_the_shares_of_the_current_window(reference: pd.DataFrame, tweets: pd.DataFrame) -> None:
    matched = with_matching_mix(reference, tweets[150:])
    # In the whole reference it is 0.27. Tweets that read like reviews count as reviews, in both windows.
    assert (matched["source"] == "feedback").mean() > 0.65
    assert matched.equals(with_matching_mix(reference, tweets[150:]))


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_labels_from_a_slow_shift_are_a_reference_for_the_new_domain_too(
    amazon: tuple[pd.DataFrame, pd.DataFrame],
    tweets: pd.DataFrame,
    window: Callable[..., Window],
    limits: Thresholds,
    share: float,
) -> None:
    """Labels of a slow shift are of both domains.

    Divided by the likeliest domain alone, most tweets among them counted as reviews, tweets were compared with reviews,
    and the champion that knew both drifted for ever.
    """
    count = round(100 * share)
    given = pd.concat([amazon[1].sample(100 - count, random_state=1), tweets[:count]])
    feedback = given.assign(source="feedback", group_id=[f"text-{number}" for number in range(len(given))])
    reference = pd.concat([amazon[0].sample(400, random_state=0).assign(source="amazon"), feedback], ignore_index=True)
    report = compare(window(reference), window(tweets[150:]), limits).report
    assert (report.drift, report.reasons) == (False, ("every detector stays below its threshold",))


@pytest.mark.parametrize("domain", ["nyt", "movies"])
def test_a_third_domain_is_drift(
    reference: pd.DataFrame, window: Callable[..., Window], limits: Thresholds, data_cache: Path, domain: str
) -> None:
    third = icwsm2014.load([domain], data_cache).sample(500, random_state=0)[["text", "label"]]
    assert compare(window(reference), window(third), limits).report.drift


def test_one_source_or_no_text_changes_nothing(reference: pd.DataFrame, tweets: pd.DataFrame) -> None:
    one = reference[reference["source"] == "amazon"]
    assert with_matching_mix(one, tweets) is one
    assert with_matching_mix(reference, tweets[["label"]]) is reference
    few = pd.concat([one, reference[400:410]])
    assert with_matching_mix(few, tweets) is few


@pytest.mark.parametrize("labelled", [22, 26, 40])
def test_few_rows_of_the_domain_are_enough_whatever_their_number(
    reference: pd.DataFrame,
    tweets: pd.DataFrame,
    window: Callable[..., Window],
    limits: Thresholds,
    labelled: int,
) -> None:
    """With a fixed least number of rows, one row fewer compared all tweets with 400 reviews: drift for ever."""
    few = reference[: 400 + labelled]
    assert (with_matching_mix(few, tweets[150:])["source"] == "feedback").mean() > 0.3
    report = compare(window(few), window(tweets[150:]), limits).report
    assert (report.drift, report.reasons) == (False, ("every detector stays below its threshold",))

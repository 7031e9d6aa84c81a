"""Texts in languages that the reference window does not have: the model was not trained for them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import pandas as pd

from feature_checks.contract import TEXT, normalise
from feature_checks.documents.languages import Languages, detect, languages_of
from feature_checks.prediction_record import HASH_PREFIX

MAX_SHARE: Final = 0.05
"""A larger share of texts in other languages is an alarm. English texts are taken for another language in 0.04 % of
cases, so that a window without such texts cannot reach it."""


def language_alarm(reference: pd.DataFrame, current: pd.DataFrame) -> list[str]:
    """Return the reason for an alarm if too many current texts are in a language that the reference does not have.

    Windows without readable texts give none.
    """
    if not (_readable(reference) and _readable(current)):
        return []
    known = _languages_of(tuple(normalise(text) for text in reference[TEXT]))
    foreign = [bool(known.reason(_language(normalise(text)))) for text in current[TEXT]]
    share = sum(foreign) / len(foreign)
    if share <= MAX_SHARE:
        return []
    return [
        f"{share:.0%} of the texts are in a language that the reference window does not have "
        f"({', '.join(known.supported)}); at most {MAX_SHARE:.0%} are allowed"
    ]


@lru_cache(maxsize=2)
def _languages_of(texts: tuple[str, ...]) -> Languages:
    """Return the languages of a reference window, which is compared with many windows."""
    return languages_of(texts)


@lru_cache(maxsize=5_000)
def _language(text: str) -> str:
    """Return the language of a text; texts come again, in later windows and in simulated years."""
    return detect(text)


def _readable(frame: pd.DataFrame) -> bool:
    return TEXT in frame.columns and not frame[TEXT].astype(str).str.startswith(HASH_PREFIX).any()

"""Label spellings and rating scales of users' data, mapped to the contract's labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from components.datasets.files import SourceError
from feature_checks.contract import Label, label_of_rating

RatingScale = Literal["auto", "-4..4", "1..5"]
RATING_SCALES: Final = ("auto", "-4..4", "1..5")
STARS: Final = "1..5"

_WORDS: Final[Mapping[str, Label]] = {
    **dict.fromkeys(("negative", "neg"), "negative"),
    **dict.fromkeys(("neutral", "neu", "neut"), "neutral"),
    **dict.fromkeys(("positive", "pos"), "positive"),
}
_STAR_LABELS: Final[Mapping[str, Label]] = {
    **dict.fromkeys("12", "negative"), "3": "neutral", **dict.fromkeys("45", "positive")
}  # fmt: skip
_NUMBER_SCHEMES: Final[tuple[Mapping[str, Label], ...]] = (
    {"0": "negative", "1": "positive"},
    {"-1": "negative", "1": "positive"},
    {"-1": "negative", "0": "neutral", "1": "positive"},
    {"0": "negative", "1": "neutral", "2": "positive"},
    {"0": "negative", "4": "positive"},
    {"0": "negative", "2": "neutral", "4": "positive"},
)
_INTEGER: Final = re.compile(r"([+-]?\d+)(?:\.0+)?")


def map_spellings(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the labels with usual spellings mapped to the contract's; others are left as found.

    Words are compared without case: `pos`, `NEGATIVE`, `neu`. Numbers are mapped when all values together are a known
    scheme: 0/1, −1/1, −1/0/1, 0/1/2, 0/2/4, or stars from 1 to 5 with at least one 4 or 5.
    """
    spelled = values.map(_spelling)
    distinct = set(spelled.dropna())
    mapping = _number_scheme(distinct) if distinct and all(map(_is_integer, distinct)) else _WORDS
    return spelled.map(mapping).astype(object).where(spelled.isin(list(mapping)), values.astype(object))


def _spelling(value: Any) -> Any:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value).strip().casefold()
    number = _INTEGER.fullmatch(text)
    return str(int(number[1])) if number else text


def _is_integer(spelling: str) -> bool:
    return bool(_INTEGER.fullmatch(spelling))


def _number_scheme(distinct: set[str]) -> Mapping[str, Label]:
    for scheme in _NUMBER_SCHEMES:
        if distinct == set(scheme):
            return scheme
    stars = distinct <= set(_STAR_LABELS) and not distinct.isdisjoint("45")
    return _STAR_LABELS if stars else {}


def labels_of_ratings(values: pd.Series[Any], column: str, scale: str) -> pd.Series[Any]:
    """Return the label of each rating; None where the rating is missing.

    Raises SourceError for values that are no numbers or lie outside the scale.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    refuse(values.notna() & numbers.isna(), column, "are not numbers", "write ratings as numbers, or leave them empty")
    used = scale_of(numbers.to_numpy(dtype=float), scale)
    low, high = bounds(used)
    outside = numbers.notna() & ~numbers.between(low, high)
    refuse(outside, column, f"lie outside the scale {used}", f"expected {low:g} to {high:g}; see rating_scale")
    return numbers.map(lambda rating: label_on_scale(rating, used)).astype(object)


def votes_of_ratings(values: pd.Series[Any], column: str, scale: str) -> pd.Series[Any]:
    """Return each row's individual ratings moved so that 0 is neutral; None where a row has none.

    Raises SourceError for values that are no numbers or lie outside the scale.
    """
    arrays = [_ratings(value) for value in values]
    wrong = pd.Series([array is not None and bool(np.isnan(array).any()) for array in arrays], index=values.index)
    refuse(wrong, column, "are not lists of numbers", "write a list of numbers in each row, or leave it empty")
    present = [array for array in arrays if array is not None]
    used = scale_of(np.concatenate(present) if present else np.array([]), scale)
    low, high = bounds(used)
    outside = [array is not None and bool(((array < low) | (array > high)).any()) for array in arrays]
    refuse(
        pd.Series(outside, index=values.index),
        column,
        f"have ratings outside the scale {used}",
        f"expected {low:g} to {high:g}; see rating_scale",
    )
    middle = 3.0 if used == STARS else 0.0
    moved = [None if array is None else (array - middle).tolist() for array in arrays]
    return pd.Series(moved, index=values.index, dtype=object)


def _ratings(value: Any) -> Any:
    if value is None or np.size(value) == 0 or (isinstance(value, float) and np.isnan(value)):
        return None
    return pd.to_numeric(pd.Series(np.ravel(np.asarray(value, dtype=object))), errors="coerce").to_numpy(dtype=float)


def scale_of(ratings: np.ndarray[Any, Any], scale: str) -> str:
    """Return the scale of ratings; `auto` takes stars where no rating is below 1.

    Ratings from −4 to 4 that are never below 1 would have no negative row, so the choice cannot be wrong for usable
    data. Raises SourceError for an unknown scale.
    """
    if scale not in RATING_SCALES:
        raise SourceError("rating_scale", f"it is {scale!r}", f"expected one of {list(RATING_SCALES)}")
    if scale != "auto":
        return scale
    known = ratings[~np.isnan(ratings)]
    return STARS if known.size and known.min() >= 1 else "-4..4"


def bounds(scale: str) -> tuple[float, float]:
    """Return the lowest and the highest rating of a scale."""
    low, high = (float(bound) for bound in scale.split(".."))
    return low, high


def label_on_scale(rating: float, scale: str) -> Label | None:
    """Return the label of a mean rating (−4…4) or of stars (1…5: 3 is neutral); None outside the scale."""
    low, high = bounds(scale)
    if np.isnan(rating) or not low <= rating <= high:
        return None
    if scale == STARS:
        return "neutral" if rating == 3 else ("positive" if rating > 3 else "negative")
    return label_of_rating(rating)


def refuse(wrong: pd.Series[Any], column: str, problem: str, remedy: str) -> None:
    """Raise SourceError when any row is wrong, with the number of such rows and the first row numbers."""
    if wrong.any():
        first = ", ".join(str(number) for number in wrong.index[wrong.astype(bool)][:5])
        raise SourceError(
            f"column {column!r}",
            f"{int(wrong.sum())} of {len(wrong)} rows {problem} (first row numbers {first})",
            remedy,
        )

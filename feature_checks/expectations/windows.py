"""The expectations that a window of predictions must meet before drift is judged."""

from __future__ import annotations

from typing import Any, Final

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd

from feature_checks.contract import LABEL, LABELS, ROW_ID, TEXT, normalise
from feature_checks.expectations.suite import CheckReport, validate
from feature_checks.prediction_record import CONFIDENCE, LENGTH, NON_LETTERS, TRUE_LABEL, WORDS

DESCRIPTORS: Final = (LENGTH, WORDS, NON_LETTERS)


def check_window(frame: pd.DataFrame) -> CheckReport:
    """Check the columns that a window has. It must have `text` or the three descriptors.

    A window in which every prediction is the same class fails: this usually means a broken model or a broken input,
    not drift, and the model must not be retrained on it.
    """
    checked = frame.assign(**{ROW_ID: range(len(frame))})
    if TEXT in frame.columns:
        texts = frame[TEXT].map(lambda text: len(normalise(text)) if isinstance(text, str) else 0)
        checked = checked.assign(visible_chars=texts)
    numbers = {
        name: pd.to_numeric(checked[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
        for name in _numeric(frame)
    }
    return validate(checked.assign(**numbers), _suite(frame))


def _numeric(frame: pd.DataFrame) -> list[str]:
    return [name for name in (*DESCRIPTORS, CONFIDENCE) if name in frame.columns]


def _suite(frame: pd.DataFrame) -> list[gxe.Expectation]:
    rules = [rule for name in _numeric(frame) for rule in _number_rules(name)]
    if TEXT in frame.columns:
        rules.append(_at_least("visible_chars", 1, "a text must be a string with a visible character"))
    else:
        rules += [_exists(name, "a window without texts needs the descriptors") for name in DESCRIPTORS]
    if LABEL in frame.columns:
        rules += [_not_null(LABEL), _in_labels(LABEL), _several_classes()]
    if TRUE_LABEL in frame.columns:
        rules.append(_in_labels(TRUE_LABEL))
    return rules


def _number_rules(name: str) -> list[gxe.Expectation]:
    upper = 1 if name in (NON_LETTERS, CONFIDENCE) else None
    why = f"must be a number from 0 to {upper}" if upper else "must be a finite number of 0 or more"
    return [
        gxe.ExpectColumnValuesToNotBeNull(column=name, meta=_why(why)),
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=upper, meta=_why(why)),
    ]


def _at_least(name: str, minimum: int, why: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=name, min_value=minimum, meta=_why(why))


def _exists(name: str, why: str) -> gxe.Expectation:
    return gxe.ExpectColumnToExist(column=name, meta=_why(why) | {"columns": "without it"})


def _not_null(name: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToNotBeNull(column=name, meta=_why(f"must be one of {list(LABELS)}"))


def _in_labels(name: str) -> gxe.Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=name, value_set=list(LABELS), meta=_why(f"must be one of {list(LABELS)}")
    )


def _several_classes() -> gxe.Expectation:
    return gxe.ExpectColumnUniqueValueCountToBeBetween(
        column=LABEL, min_value=2, meta=_why("at least two classes must be predicted; check the model and its input")
    )


def _why(reason: str) -> dict[str, Any]:
    return {"why": reason}

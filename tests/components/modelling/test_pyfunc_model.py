from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from components.modelling.pyfunc_model import texts_of
from feature_checks.contract import MAX_TEXT_CHARS


@pytest.mark.parametrize(
    "given",
    [
        ["It works.", "It broke."],
        pd.DataFrame(["It works.", "It broke."]),
        pd.DataFrame({"0": ["It works.", "It broke."]}),
        pd.DataFrame({"text": ["It works.", "It broke."]}),
    ],
    ids=["list", "unnamed", "Spark", "text"],
)
def test_texts_come_as_a_list_or_as_the_first_column(given: Any) -> None:
    assert texts_of(given) == ["It works.", "It broke."]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (pd.DataFrame({"id": ["7"], "text": ["It works."]}), "the first column is 'id'; expected 'text'"),
        (["It works.", None], r"text\[1\]: found None; expected a string"),
        ([float("nan")], r"text\[0\]: found nan; expected a string"),
        ([" \u200b\n"], r"text\[0\]: the text is blank; expected a visible character"),
        (["x" * (MAX_TEXT_CHARS + 1)], rf"text\[0\]: found {MAX_TEXT_CHARS + 1} characters"),
    ],
    ids=["other column", "null", "number", "blank", "too long"],
)
def test_what_the_server_refuses_is_refused(given: Any, found: str) -> None:
    with pytest.raises(MlflowException, match=found) as refused:
        texts_of(given)
    assert refused.value.get_http_status_code() == 400


def test_no_texts_are_no_texts() -> None:
    assert texts_of(pd.DataFrame({"text": pd.Series(dtype=str)})) == []

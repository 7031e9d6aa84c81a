"""The columns that a scored file has on request: language, decision and reason of each row."""

from __future__ import annotations

from typing import Any, Final

from feature_checks.documents import languages, max_error
from feature_checks.documents.languages import detect
from serving.bulk.files import FileError
from serving.documents.decision import UNSURE, Reliance
from serving.errors import RequestError
from serving.inference.loading import PreparedModel
from serving.protocol.options import parse_max_error

DECISION_COLUMNS: Final = ("language", "decision", "reason")
"""As the outputs of the same names: see `serving.documents.decision`."""


def reliance_of(prepared: PreparedModel, asked: float | None, default: float | None) -> Reliance:
    """Return when the labels of a model may be relied on, for an accepted error that was asked for or is the default.

    Raises FileError for an accepted error that is no share, or that the model's bundle has no table for.
    """
    folder = prepared.bundle.folder
    try:
        accepted = parse_max_error(asked, "--max-error")
        return Reliance.of(languages.load(folder), max_error.load(folder), accepted, default, prepared.version)
    except RequestError as error:
        raise FileError(error.message) from error


def decided(row: dict[str, Any], reliance: Reliance) -> dict[str, Any]:
    """Return a row of the results with the three columns; they are empty where the text was refused."""
    if row["error"] is not None:
        return row | dict.fromkeys(DECISION_COLUMNS)
    language = detect(row["text"])
    reason = reliance.reason(language, row["confidence"])
    return row | {"language": language, "decision": UNSURE if reason else row["label"], "reason": reason}

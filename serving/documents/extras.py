"""The optional outputs of one request, computed only if the request names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from feature_checks.documents.languages import Languages
from serving.documents.decision import decisions, languages_of, reasons
from serving.documents.evidence import evidence
from serving.documents.sentences import Score, sentences
from serving.protocol.common import InferRequest, Prediction

_BY_LANGUAGE: Final = {"language", "decision", "reason"}


async def extras_of(
    names: Sequence[str], request: InferRequest, prediction: Prediction, score: Score, languages: Languages
) -> dict[str, list[Any]]:
    """Return the optional outputs `names` of a request, each with one JSON value for each text.

    `score` scores further texts with the same model, whose languages are given. Raises what it raises, and TooLarge for
    too many texts.
    """
    found: dict[str, list[Any]] = {}
    if "evidence" in names:
        found["evidence"] = await evidence(request.texts, prediction, score)
    if "sentences" in names:
        found["sentences"] = await sentences(request.texts, score)
    if _BY_LANGUAGE.intersection(names):
        found["language"] = await languages_of(request.texts)
        found["reason"] = reasons(found["language"], languages)
        found["decision"] = decisions(prediction, found["reason"])
    return found

"""The optional outputs of one request, computed only if the request names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from serving.documents.decision import Reliance, decisions, languages_of, reasons
from serving.documents.evidence import evidence
from serving.documents.sentences import Score, sentences
from serving.protocol.common import InferRequest, Prediction

_BY_LANGUAGE: Final = {"language", "decision", "reason"}


async def extras_of(
    names: Sequence[str], request: InferRequest, prediction: Prediction, score: Score, reliance: Reliance
) -> dict[str, list[Any]]:
    """Return the optional outputs `names` of a request, each with one JSON value for each text.

    `score` scores further texts with the same model; `reliance` says which labels may be relied on. Raises what
    `score` raises, and TooLarge for too many texts.
    """
    found: dict[str, list[Any]] = {}
    if "evidence" in names:
        found["evidence"] = await evidence(request.texts, prediction, score)
    if "sentences" in names:
        found["sentences"] = await sentences(request.texts, score)
    if _BY_LANGUAGE.intersection(names):
        found["language"] = await languages_of(request.texts)
        found["reason"] = reasons(found["language"], prediction, reliance)
        found["decision"] = decisions(prediction, found["reason"])
    return found

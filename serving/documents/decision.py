"""The outputs `language`, `decision` and `reason`: whether an answer may be relied on, and if not, why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from feature_checks.contract import LABELS
from feature_checks.documents.languages import Languages, detect
from feature_checks.documents.max_error import MaxErrors
from serving.errors import RequestError
from serving.protocol.common import Prediction

UNSURE: Final = "unsure"
"""The decision about a text whose label is not to be relied on."""


@dataclass(frozen=True, slots=True)
class Reliance:
    """When the label of a text may be relied on: what the bundle knows, and what the request accepts."""

    languages: Languages
    """The languages that the model was trained for."""
    table: MaxErrors | None
    """Which confidence keeps which accepted error; None for a bundle without the table."""
    max_error: float | None
    """The accepted share of wrong answers; None for any."""

    @classmethod
    def of(
        cls, languages: Languages, table: MaxErrors | None, asked: float | None, default: float | None, version: str
    ) -> Reliance:
        """Return what holds for a request that asks for `asked`, on a server with the default `default`.

        Raises RequestError if the request names an error and the model version has no table. The default of the server
        makes every text of such a version `unsure` instead: clients that name no error did nothing wrong.
        """
        if asked is not None and table is None:
            raise RequestError(
                f"max_error: found {asked:g}; model version {version} was exported without the table of confidences "
                "that this needs. Leave it out, or train a new version"
            )
        return cls(languages, table, default if asked is None else asked)

    def reason(self, language: str, confidence: float) -> str:
        """Return why a text in this language, labelled with this confidence, is not answered; empty if it is."""
        reason = self.languages.reason(language)
        if reason or self.max_error is None:
            return reason
        if self.table is None:
            return f"this model version has no table for the server's max_error of {self.max_error:g}"
        return self.table.reason(self.max_error, confidence)


async def languages_of(texts: Sequence[str]) -> list[str]:
    """Return the language of each text, or "und". A thread detects them, because the first call loads the detector."""
    return await asyncio.to_thread(lambda: [detect(text) for text in texts])


def reasons(found: Sequence[str], prediction: Prediction, reliance: Reliance) -> list[str]:
    """Return, for texts in the languages `found`, why the decision is `unsure`; empty where it is the label."""
    return [
        reliance.reason(language, confidence) for language, confidence in zip(found, prediction.confidence, strict=True)
    ]


def decisions(prediction: Prediction, why: Sequence[str]) -> list[str]:
    """Return the label of each text, or `unsure` where there is a reason."""
    return [UNSURE if reason else LABELS[label] for label, reason in zip(prediction.labels, why, strict=True)]

"""The outputs `language`, `decision` and `reason`: whether an answer may be relied on, and if not, why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from feature_checks.contract import LABELS
from feature_checks.documents.languages import Languages, detect
from serving.protocol.common import Prediction

UNSURE: Final = "unsure"
"""The decision about a text whose label is not to be relied on."""


async def languages_of(texts: Sequence[str]) -> list[str]:
    """Return the language of each text, or "und". A thread detects them, because the first call loads the detector."""
    return await asyncio.to_thread(lambda: [detect(text) for text in texts])


def reasons(found: Sequence[str], languages: Languages) -> list[str]:
    """Return, for texts in the languages `found`, why the decision is `unsure`; empty where it is the label."""
    return [languages.reason(language) for language in found]


def decisions(prediction: Prediction, why: Sequence[str]) -> list[str]:
    """Return the label of each text, or `unsure` where there is a reason."""
    return [UNSURE if reason else LABELS[label] for label, reason in zip(prediction.labels, why, strict=True)]

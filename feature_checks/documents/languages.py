"""Which languages a model was trained for, and in which language a text is, as far as it can be told.

The detector is py3langid (Lui & Baldwin, ACL 2012, 97 languages), chosen in `docs/results.md` among others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from feature_checks.bundle import LANGUAGES, BundleError

UNDETERMINED: Final = "und"
"""The code of ISO 639 for a text whose language cannot be told, such as a single word or a number."""

MIN_PROBABILITY: Final = 0.35
"""A language is named from this probability on. `docs/results.md` has the error rates."""

SHORT_CHARS: Final = 50
SHORT_MIN_PROBABILITY: Final = 0.7
"""A text with fewer characters needs this probability: "the zoom is superb" looks Dutch with a probability of 0.4."""

_MAX_CHARS: Final = 1_000
"""The beginning of a text that is looked at, in about a millisecond at most."""

_MIN_SHARE: Final = 0.02
"""A language belongs to a data set if it is that of at least this share of the texts."""


@dataclass(frozen=True)
class Languages:
    """The languages of a model, by ISO 639-1.

    Example: `Languages(("en",)).reason("de")` is "the text is in the language de; the model was trained for en".
    """

    supported: Sequence[str] = ("en",)

    def reason(self, language: str) -> str:
        """Return why the answer for a text in a language is not to be relied on; empty if nothing speaks against it."""
        if language == UNDETERMINED or language in self.supported:
            return ""
        return f"the text is in the language {language}; the model was trained for {', '.join(self.supported)}"


def detect(text: str) -> str:
    """Return the language of a text by ISO 639-1, or UNDETERMINED.

    The first call loads the detector, which takes half a second and 80 MB.

    Example: `detect("Die Kamera ist nach zwei Wochen kaputt gegangen.")` is "de".
    """
    language, probability = _detector().classify(text[:_MAX_CHARS].encode("utf-8", "replace").decode())
    needed = MIN_PROBABILITY if len(text) >= SHORT_CHARS else SHORT_MIN_PROBABILITY
    return str(language) if probability >= needed else UNDETERMINED


@lru_cache(maxsize=1)
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def languages_of(texts: Sequence[str]) -> Languages:
    """Return the languages of a data set; English if no language can be told."""
    counts = Counter(map(detect, texts))
    del counts[UNDETERMINED]
    common = sorted(name for name, count in counts.items() if count >= _MIN_SHARE * counts.total())
    return Languages(tuple(common)) if common else Languages()


def save(languages: Languages, folder: Path) -> None:
    """Write the languages into a bundle folder that is not sealed yet."""
    (folder / LANGUAGES).write_text(json.dumps({"supported": list(languages.supported)}) + "\n", encoding="utf-8")


def load(folder: Path) -> Languages:
    """Return the languages of a bundle folder; English if it does not say. Raises BundleError for any other file."""
    path = folder / LANGUAGES
    if not path.is_file():
        return Languages()
    try:
        supported = json.loads(path.read_text(encoding="utf-8"))["supported"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not a list of languages ({error})") from error
    if not isinstance(supported, list) or not supported or not all(isinstance(name, str) for name in supported):
        raise BundleError(f"{path}: supported is {supported!r}; expected a list of languages such as ['en']")
    return Languages(tuple(supported))

"""Counts the languages of a sample of the requests, beside the event loop."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from feature_checks.documents.languages import UNDETERMINED, Languages, detect
from serving.telemetry.metrics import LANGUAGES

ONE_IN: Final = 20
"""One request in so many is looked at: a tenth of a millisecond of each is too much, a twentieth of that is not."""
SECONDS_BETWEEN: Final = 0.2
"""And at most five in a second. Cache hits come so fast that a twentieth of them would take the interpreter from the
event loop, which then answers a fifth fewer."""

logger = logging.getLogger(__name__)


class LanguageSample:
    """Detects the language of the first text of some requests. Belongs to the event loop.

    Example: `LanguageSample().observe("It works.", languages)`.
    """

    def __init__(self) -> None:
        """Nothing is loaded before the first text is looked at."""
        self._requests = 0
        self._next = 0.0
        """Until then no text is looked at, in `time.monotonic` seconds."""
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="language")

    def observe(self, text: str, languages: Languages) -> None:
        """Look at a request if it is its turn. While an earlier text is being looked at, none is."""
        self._requests += 1
        if self._requests % ONE_IN or self._busy or time.monotonic() < self._next:
            return
        self._busy = True
        self._next = time.monotonic() + SECONDS_BETWEEN
        self._thread.submit(self._count, text, languages)

    def _count(self, text: str, languages: Languages) -> None:
        try:
            language = detect(text)
            known = "unsupported" if languages.reason(language) else "supported"
            LANGUAGES.labels("undetermined" if language == UNDETERMINED else known).inc()
        except Exception:  # a sample that fails must not end the thread
            logger.exception("the language of a text could not be detected")
        finally:
            self._busy = False

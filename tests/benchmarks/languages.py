"""What `docs/results.md` says about languages: how many texts are taken for another language, and the cost.

pip download --no-deps django==5.2.19
python -m tests.benchmarks.languages --data all.parquet --translations django-5.2.19-py3-none-any.whl --output lang.json

`--data` holds the four English domains (`components.ingest --source icwsm2014:amazon,tweets,nyt,movies`). The texts in
other languages are the messages of Django's translations that have at least 50 characters.
"""

from __future__ import annotations

import argparse
import gettext
import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import pandas as pd

from feature_checks.contract import GROUP_ID, SOURCE, TEXT, normalise
from feature_checks.documents.languages import SHORT_CHARS, Languages, detect
from feature_checks.splits import split_of_group

FOREIGN: Final = ("de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh_Hans")
_PLACEHOLDER: Final = re.compile(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]+>|“[^”]*”|\"[^\"]*\"|«[^»]*»|'[^']*'")


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "translations", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    chosen = parser.parse_args()
    figures = {"english": english(pd.read_parquet(chosen.data)), "foreign": foreign(chosen.translations)}
    chosen.output.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    print(json.dumps(figures, indent=2))


def english(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the share of test texts of each domain that are flagged, and the time of a detection."""
    test = frame[frame[GROUP_ID].astype(str).map(split_of_group) == "test"]
    detect("The first call loads the detector.")
    flagged, started = {}, time.process_time()
    for source, rows in test.groupby(SOURCE):
        flagged[str(source)] = [bool(Languages().reason(detect(normalise(text)))) for text in rows[TEXT]]
    seconds = time.process_time() - started
    every = [value for values in flagged.values() for value in values]
    shares = {name: sum(values) / len(values) for name, values in flagged.items()}
    return {"texts": len(every), "flagged": sum(every), "shares": shares, "microseconds": 1e6 * seconds / len(every)}


def foreign(wheel: Path) -> dict[str, Any]:
    """Return the share of texts in ten other languages that are flagged."""
    found: dict[str, set[str]] = {language: set() for language in FOREIGN}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            match = re.fullmatch(r"django/.*locale/(\w+)/LC_MESSAGES/\w+\.mo", name)
            if match and match[1] in found:
                found[match[1]] |= _messages(archive.read(name))
    flagged = {
        name: [bool(Languages().reason(detect(text))) for text in sorted(texts)] for name, texts in found.items()
    }
    every = [value for values in flagged.values() for value in values]
    counts = {name: f"{sum(values)} of {len(values)}" for name, values in flagged.items()}
    return {"texts": len(every), "flagged": sum(every), "languages": counts}


def _messages(content: bytes) -> set[str]:
    catalogue: dict[Any, str] = gettext.GNUTranslations(io.BytesIO(content))._catalog  # type: ignore[attr-defined]
    translated = {message for key, message in catalogue.items() if key and message != key}
    return {text for message in translated if len(text := normalise(_PLACEHOLDER.sub("", message))) >= SHORT_CHARS}


if __name__ == "__main__":
    main()

"""The labelled predictions as one growing data set. Of several labels of a user for one text the last one counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import fsspec
import pandas as pd

from feature_checks.contract import FEEDBACK_SOURCE, GROUP_ID, LABEL, ROW_ID, SOURCE, SPLIT, TEXT
from feature_checks.prediction_record import CONFIDENCE, HASH_PREFIX, TRUE_LABEL
from feature_checks.splits import group_of_text, split_of_group
from monitoring import drift_thresholds
from monitoring.windows.label_trust import PREDICTED, WHY, sift
from monitoring.windows.log_reader import LABELLED_AT, LABELLED_BY
from monitoring.windows.log_window import PREDICTED_AT

COLUMNS: Final = (TEXT, LABEL, GROUP_ID, ROW_ID, SOURCE, SPLIT, PREDICTED_AT, LABELLED_AT, LABELLED_BY)
"""Of a row to train on."""
LABEL_COLUMNS: Final = (TEXT, TRUE_LABEL, PREDICTED, CONFIDENCE, ROW_ID, PREDICTED_AT, LABELLED_AT, LABELLED_BY)
"""Of a label as a user gave it."""


@dataclass(frozen=True)
class LabelStore:
    """Labelled predictions in Parquet files beside one another.

    NAME.parquet             rows to train on and to hold out
    NAME-labels.parquet      every label as it was given: the last of each user for each prediction
    NAME-quarantine.jsonl    labels that are set apart, with the reason, for people to read; it holds review texts
    NAME-DIGEST.parquet      an earlier or the present content of NAME.parquet, for training it again

    A fixed third of the texts, by their hash, is in the test split: no model is ever trained on them, whoever labels
    them and whenever.

    Example: `LabelStore("s3://bucket/labelled.parquet").add(window.labels)`.
    """

    url: str
    """Path or fsspec URL of the rows to train on."""

    def rows(self) -> pd.DataFrame:
        """Return the rows to train on and to hold out, with COLUMNS."""
        return self._read(self.url, COLUMNS)

    def labels(self) -> pd.DataFrame:
        """Return every label as it was given, with LABEL_COLUMNS."""
        return self._read(self._beside("-labels.parquet"), LABEL_COLUMNS)

    def quarantined(self) -> pd.DataFrame:
        """Return the labels that are set apart, with LABEL_COLUMNS and `why`."""
        return sift(self.labels(), drift_thresholds.load().feedback).quarantined

    def add(self, labelled: pd.DataFrame) -> int:
        """Add labels and return the number of rows to train on and to hold out.

        Labels without a text are left out: a model cannot be trained on them.
        """
        given = given_labels(labelled)
        if given.empty and len(rows := self.rows()):
            return len(rows)
        parts = [part for part in (self.labels(), given) if len(part)]
        known = pd.concat(parts, ignore_index=True) if parts else self.labels()
        known = known.sort_values([LABELLED_AT, ROW_ID], kind="stable", na_position="first")
        known = known.drop_duplicates([ROW_ID, LABELLED_BY], keep="last", ignore_index=True)
        sifted = sift(known, drift_thresholds.load().feedback)
        accepted = training_rows(sifted.accepted).sort_values([PREDICTED_AT, ROW_ID], ignore_index=True)
        self._write(self._beside("-labels.parquet"), known)
        quarantine = sifted.quarantined.reindex(columns=[*LABEL_COLUMNS, WHY])
        with fsspec.open(self._beside("-quarantine.jsonl"), "wt", encoding="utf-8", auto_mkdir=True) as file:
            quarantine.to_json(file, orient="records", lines=True, force_ascii=False)
        self._write(self.url, accepted)
        return len(accepted)

    def keep_version(self) -> str:
        """Keep the present rows under a name that holds their digest, and return its path or URL.

        Training on it can be repeated after further labels have arrived. The same rows give the same name.
        """
        rows = self.rows()
        digest = hashlib.sha256(rows.astype(str).to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()
        url = self._beside(f"-{digest[:12]}.parquet")
        filesystem, path = fsspec.url_to_fs(url)
        if not filesystem.exists(path):
            self._write(url, rows)
        return url

    def known_labels(self) -> frozenset[str]:
        """Return an entry `ROW_ID@LABELLED_AT` for each stored label."""
        rows = self.labels()
        return frozenset(f"{row_id}@{time}" for row_id, time in zip(rows[ROW_ID], rows[LABELLED_AT], strict=True))

    def _beside(self, ending: str) -> str:
        return self.url.removesuffix(".parquet") + ending

    @staticmethod
    def _read(url: str, columns: tuple[str, ...]) -> pd.DataFrame:
        filesystem, path = fsspec.url_to_fs(url)
        filesystem.invalidate_cache()
        if not filesystem.exists(path):
            return pd.DataFrame(columns=list(columns))
        with filesystem.open(path, "rb") as file:
            return pd.read_parquet(file).reindex(columns=list(columns))

    @staticmethod
    def _write(url: str, frame: pd.DataFrame) -> None:
        with fsspec.open(url, "wb", auto_mkdir=True) as file:
            frame.to_parquet(file, index=False)


def given_labels(labelled: pd.DataFrame) -> pd.DataFrame:
    """Return labelled rows of a log that have a text, with LABEL_COLUMNS."""
    if TEXT not in labelled.columns or ROW_ID not in labelled.columns:
        return pd.DataFrame(columns=list(LABEL_COLUMNS))
    has_text = labelled[TEXT].map(lambda text: isinstance(text, str) and not text.startswith(HASH_PREFIX)).astype(bool)
    data = labelled[has_text].rename(columns={LABEL: PREDICTED}).reindex(columns=list(LABEL_COLUMNS))
    return data.assign(**{LABELLED_BY: data[LABELLED_BY].fillna("")})


def training_rows(labelled: pd.DataFrame) -> pd.DataFrame:
    """Return labelled rows of a log that have a text as a data set, with COLUMNS.

    The split is that of the text's hash, so that copies of a text are never in two splits. What is not trained on is
    in the test split, as labels are few: the gate needs all of them to tell a gain from chance.
    """
    data = given_labels(labelled).rename(columns={TRUE_LABEL: LABEL})
    groups = [_group(text) for text in data[TEXT]]
    splits = ["train" if split_of_group(group) == "train" else "test" for group in groups]
    return data.assign(**{SOURCE: FEEDBACK_SOURCE, GROUP_ID: groups, SPLIT: splits}).reindex(columns=list(COLUMNS))


def _group(text: Any) -> str:
    return group_of_text(str(text))

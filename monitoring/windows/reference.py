"""The reference window of a champion: its predictions on data that it was not trained on."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pandas as pd

from feature_checks import bundle as bundles
from feature_checks.contract import FEEDBACK_SOURCE, GROUP_ID, LABEL, LABELS, ROW_ID, SOURCE, SPLIT, TEXT
from feature_checks.prediction_record import CONFIDENCE, TRUE_LABEL
from feature_checks.splits import is_feedback
from monitoring.prediction_log.records import sampling_hash
from monitoring.windows.window import known_columns

if TYPE_CHECKING:
    from feature_checks.classifier import Probabilities

RANDOM_SHARE: Final = 0.5
"""Share of the labels that people give for the random part of a window: 120 of at most 220 requested rows."""


def write_reference_window(
    bundle: Path, data: Path, output: Path, split: Literal["validation", "test"] = "validation"
) -> int:
    """Score one split of a data set with a bundle and write it as a reference window; return the number of rows.

    The reference window is made once for each champion and is stored with it. It keeps `group_id`, so that
    calibration can draw whole reviews.

    Example: `write_reference_window(Path("bundle"), Path("data.parquet"), Path("reference.parquet"))`.
    """
    from feature_checks.classifier import OnnxClassifier  # ONNX Runtime is slow to import

    frame = pd.read_parquet(data)
    rows = reference_rows(frame, split)
    window = reference_window(rows, OnnxClassifier(bundles.load(bundle)).probabilities(rows[TEXT].tolist()))
    output.parent.mkdir(parents=True, exist_ok=True)
    window.to_parquet(output, index=False)
    return len(window)


def reference_rows(frame: pd.DataFrame, split: str = "validation") -> pd.DataFrame:
    """Return the rows of a data set for the reference window: one split, and feedback that is not trained on.

    The window thus holds every domain that the champion was trained for. Of the feedback, the half with the smallest
    sampling hashes is kept: those rows were labelled because they are a random part of their windows, and many of the
    others because they are uncertain or unusual.
    """
    held_out = frame[is_feedback(frame) & (frame[SPLIT] != "train")]
    if held_out.empty:
        return frame[frame[SPLIT] == split]
    hashes = held_out[ROW_ID].map(lambda row_id: sampling_hash(str(row_id).removeprefix(f"{FEEDBACK_SOURCE}:")))
    random_part = hashes.sort_values().index[: ceil(RANDOM_SHARE * len(held_out))]
    return frame[((frame[SPLIT] == split) & ~is_feedback(frame)) | frame.index.isin(random_part)]


def reference_window(rows: pd.DataFrame, probabilities: Probabilities) -> pd.DataFrame:
    """Return rows that a model was not trained on, with its predictions (n × 3), as a reference window.

    `source` says which of the champion's domains a row is of, where the data says it.
    """
    window = known_columns(pd.DataFrame(
        {
            TEXT: rows[TEXT].tolist(),
            LABEL: [LABELS[index] for index in probabilities.argmax(axis=1)],
            CONFIDENCE: probabilities.max(axis=1).astype(float),
            TRUE_LABEL: rows[LABEL].tolist(),
        }
    ))  # fmt: skip
    kept = [name for name in (GROUP_ID, SOURCE) if name in rows.columns]
    return window.assign(**{name: rows[name].astype(str).tolist() for name in kept})
